# What a library exports is what latchkey.h declares: nothing else, and all of it. TABLE is -D for a
# shared library, --extern-only for a static one.
execute_process(COMMAND ${NM} ${TABLE} --defined-only --format=posix ${LIBRARY}
                OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" lines "${symbols}")
set(exported "")
foreach(line IN LISTS lines)
    if(NOT line MATCHES ":$") # a member of an archive
        string(REGEX REPLACE " .*" "" name "${line}")
        list(APPEND exported ${name})
    endif()
endforeach()

file(READ ${HEADER} text)
string(REGEX REPLACE "/\\*[^*]*\\*+([^/*][^*]*\\*+)*/" "" text "${text}")
string(REGEX MATCHALL "LATCHKEY_(API|CHECK) [^;{]*;" declarations "${text}")
set(declared "")
foreach(declaration IN LISTS declarations)
    string(REGEX MATCH "(latchkey_[a-z_]+)\\(" _ "${declaration}")
    list(APPEND declared ${CMAKE_MATCH_1})
endforeach()

list(LENGTH declared n)
if(n LESS 30)
    message(FATAL_ERROR "only ${n} declarations were found in ${HEADER}")
endif()
list(SORT exported)
list(SORT declared)
if(NOT exported STREQUAL declared)
    message(FATAL_ERROR "exported: ${exported}\ndeclared: ${declared}")
endif()
message("${n} functions")
