# The rules of the tree that a compiler does not check. Run: cmake -P cmake/CheckTree.cmake
#   no include of another folder by "../": a layer's headers come through USES alone
#   no drawer: a file is named after one noun
#   a file stays readable: a warning above 500 lines, an error above 800
#   a header is guarded by #pragma once
cmake_minimum_required(VERSION 3.24)
get_filename_component(root ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
file(GLOB_RECURSE files RELATIVE ${root} ${root}/*.c ${root}/*.h ${root}/*.sql)
list(FILTER files EXCLUDE REGEX "^(build|\\.git|\\.cache)/|node_modules/")

set(n_errors 0)
macro(refuse text)
    message("${text}")
    math(EXPR n_errors "${n_errors} + 1")
endmacro()

foreach(file IN LISTS files)
    file(STRINGS ${root}/${file} upward REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]\\.\\./")
    if(upward)
        refuse("${file}: error: includes by \"../\", past the layer rules: ${upward}")
    endif()
    get_filename_component(stem ${file} NAME_WE)
    if(stem MATCHES "^(utils?|common|misc|helpers?)$|_(utils?|misc|helpers?)$")
        refuse("${file}: error: the name says nothing: put each function with its noun")
    endif()
    # Counted by newlines: file(STRINGS) drops empty lines.
    file(READ ${root}/${file} content)
    string(REGEX REPLACE "[^\n]" "" newlines "${content}")
    string(LENGTH "${newlines}" n_lines)
    if(n_lines GREATER 800)
        refuse("${file}: error: ${n_lines} lines, more than 800: it holds two nouns")
    elseif(n_lines GREATER 500)
        message("${file}: warning: ${n_lines} lines, more than 500")
    endif()
    if(file MATCHES "\\.h$" AND NOT content MATCHES "\n#pragma once\n|^#pragma once\n")
        refuse("${file}: error: no #pragma once")
    endif()
endforeach()
if(n_errors)
    message(FATAL_ERROR "the rules of the tree are broken")
endif()
