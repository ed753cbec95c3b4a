# liblatchkey.a: the objects of the shared library and what they need of the layers, linked into one
# object in which all names but those of latchkey.h are local. An archive of the objects as they are
# would give every program the names of the layers: text_add, log_line, run.
function(add_static_library target shared)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/latchkey.o)
    set(archive ${CMAKE_BINARY_DIR}/liblatchkey.a)
    set(layers "")
    foreach(layer IN LISTS ARGN)
        list(APPEND layers $<TARGET_FILE:${layer}>)
    endforeach()
    add_custom_command(
        OUTPUT ${archive}
        COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${object} $<TARGET_OBJECTS:${shared}>
                -Wl,--start-group ${layers} -Wl,--end-group
        COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${object}
        COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
        COMMAND ${CMAKE_AR} rcs ${archive} ${object}
        DEPENDS ${shared} ${ARGN} $<TARGET_OBJECTS:${shared}>
        COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(${target} DEPENDS ${archive})
endfunction()
