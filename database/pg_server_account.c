#include "pg_server_account.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PATH_BYTES = 1024,
};

bool pg_server_account_find(struct pg_server_account *out, struct fault *fault)
{
    *out = (struct pg_server_account){.uid = geteuid(), .gid = getegid()};
    if (out->uid != 0)
        return true;
    struct passwd entry;
    struct passwd *found = NULL;
    char strings[4096];
    bool ok = getpwnam_r("postgres", &entry, strings, sizeof strings, &found) == 0;
    if (!ok || !found || found->pw_uid == 0)
        return fault_set(fault, FAULT_DATABASE,
                         "PostgreSQL refuses to run as root and there is no user 'postgres': "
                         "install the package postgresql, or run as another user");
    *out = (struct pg_server_account){.uid = found->pw_uid, .gid = found->pw_gid, .drop = true};
    return true;
}

bool pg_server_account_become(const struct pg_server_account *account)
{
    if (!account->drop)
        return true;
    /* The order matters: once the user is changed the groups can no longer be. */
    return setgroups(1, &account->gid) == 0 && setgid(account->gid) == 0 &&
           setuid(account->uid) == 0;
}

/* Asked of the kernel in a child: it alone knows of groups, lists and security modules. */
static bool may_search(const struct pg_server_account *account, const char *path)
{
    pid_t child = fork();
    if (child == 0)
        _exit(pg_server_account_become(account) && access(path, X_OK) == 0 ? 0 : 1);
    int status = 1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && status == 0;
}

bool pg_server_account_reaches(const struct pg_server_account *account, const char *path,
                               struct fault *fault)
{
    if (!account->drop || may_search(account, path))
        return true;
    char part[PATH_BYTES];
    for (size_t i = 1; i <= strlen(path) && i < sizeof part; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (!may_search(account, part))
            return fault_set(fault, FAULT_DATABASE,
                             "the user 'postgres', who runs the server for root, may not enter %s: "
                             "choose another data directory, or chmod a+x it",
                             part);
    }
    return fault_set(fault, FAULT_DATABASE, "cannot become the user 'postgres' to reach %s", path);
}

/* root may hand over only what is its own or already the account's: a directory of a third user
 * could be exchanged under our hands. */
static bool take_over(const struct pg_server_account *account, int fd, const char *path,
                      struct fault *fault)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fault_set(fault, FAULT_DATABASE, "cannot look at %s: %s", path, strerror(errno));
    if (info.st_uid != account->uid && info.st_uid != geteuid())
        return fault_set(fault, FAULT_DATABASE, "%s belongs to another user", path);
    if (info.st_uid != account->uid && fchown(fd, account->uid, account->gid) != 0)
        return fault_set(fault, FAULT_DATABASE, "cannot give %s to its server: %s", path,
                         strerror(errno));
    if (fchmod(fd, 0700) != 0)
        return fault_set(fault, FAULT_DATABASE, "cannot close %s to others: %s", path,
                         strerror(errno));
    return true;
}

bool pg_server_account_make_dir(const struct pg_server_account *account, const char *path,
                                struct fault *fault)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fault_set(fault, FAULT_DATABASE, "cannot make the directory %s: %s", path,
                         strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fault_set(fault, FAULT_DATABASE, "cannot use the directory %s: %s", path,
                         strerror(errno));
    bool ok = take_over(account, fd, path, fault);
    close(fd);
    return ok;
}
