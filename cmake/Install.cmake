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
        FILE latchkeyConfig.cmake)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/latchkeyConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/latchkeyConfigVersion.cmake DESTINATION ${package})

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
