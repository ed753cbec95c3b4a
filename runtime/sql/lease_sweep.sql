-- Removes expired leases, in a transaction of its own. Gives how many.
SELECT @schema@.remove_expired_leases(NULL)
