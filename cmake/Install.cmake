# What `cmake --install` puts where: the program, liblatchkey with its header, the pkg-config file
# and the CMake package, manual pages and completions. It can be moved afterwards.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/latchkey)

install(TARGETS latchkey RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS liblatchkey EXPORT latchkeyTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT latchkeyTargets NAMESPACE latchkey:: DESTINATION ${package}
        FILE latchkeyTargets.cmake)
# What a program that takes the static library links beside it. Not the .pc files of these: libpq's
# asks for what nobody needs who has its shared library.
set(LATCHKEY_PRIVATE_LIBRARIES event pq lua5.4 yaml jansson crypto m -pthread)
set(LATCHKEY_LIBDIR ${CMAKE_INSTALL_LIBDIR})
set(LATCHKEY_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(cmake/latchkeyConfig.cmake.in
                              ${CMAKE_BINARY_DIR}/latchkeyConfig.cmake
                              INSTALL_DESTINATION ${package}
                              PATH_VARS LATCHKEY_LIBDIR LATCHKEY_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/latchkeyConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/latchkeyConfig.cmake
              ${CMAKE_BINARY_DIR}/latchkeyConfigVersion.cmake DESTINATION ${package})
if(LATCHKEY_STATIC)
    install(FILES ${CMAKE_BINARY_DIR}/liblatchkey.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

set(LATCHKEY_LIBS_PRIVATE "")
foreach(library IN LISTS LATCHKEY_PRIVATE_LIBRARIES)
    if(NOT library MATCHES "^-")
        string(PREPEND library -l)
    endif()
    string(APPEND LATCHKEY_LIBS_PRIVATE " ${library}")
endforeach()

# From the directory of the pkg-config file to the prefix.
file(RELATIVE_PATH LATCHKEY_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/latchkey.pc.in ${CMAKE_BINARY_DIR}/latchkey.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/latchkey.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(DIRECTORY ${CMAKE_BINARY_DIR}/manual/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
        FILES_MATCHING PATTERN "*.1")
install(FILES ${CMAKE_BINARY_DIR}/manual/latchkey.bash RENAME latchkey
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${CMAKE_BINARY_DIR}/manual/_latchkey
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)

# All that is installed.
add_custom_target(product ALL DEPENDS latchkey liblatchkey manual)
if(LATCHKEY_STATIC)
    add_dependencies(product liblatchkey_static)
endif()
