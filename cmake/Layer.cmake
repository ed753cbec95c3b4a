# add_layer(NAME LEVEL n SOURCES ... HEADERS ... USES layers... LIBRARIES targets...
#           [SQL files...] [MIGRATIONS files...])
#
# A layer is a folder and a static library. It sees the headers of the layers it names in USES and
# of no other, and may only name layers of a lower level. Its own tests link it WHOLE_ARCHIVE, so a
# call upwards by a private declaration is an undefined reference there.
function(add_layer name)
    cmake_parse_arguments(L "" "LEVEL" "SOURCES;HEADERS;USES;LIBRARIES;SQL;MIGRATIONS" ${ARGN})
    foreach(used IN LISTS L_USES)
        get_property(level GLOBAL PROPERTY LAYER_LEVEL_${used})
        if("${level}" STREQUAL "")
            message(FATAL_ERROR "${name} uses ${used}, which is no layer (or comes later)")
        endif()
        if(NOT level LESS L_LEVEL)
            message(FATAL_ERROR "${name} (level ${L_LEVEL}) may not use ${used} (level ${level})")
        endif()
    endforeach()
    set_property(GLOBAL PROPERTY LAYER_LEVEL_${name} ${L_LEVEL})

    add_library(${name} STATIC ${L_SOURCES})
    target_sources(${name} PUBLIC FILE_SET HEADERS FILES ${L_HEADERS})
    target_link_libraries(${name} PUBLIC ${L_USES} ${L_LIBRARIES})
    embed_sql(${name} "${L_SQL}" "${L_MIGRATIONS}")
endfunction()

# Makes <layer>_sql.h and .c of the layer's SQL files: sql/lock_try.sql -> SQL_LOCK_TRY, and of its
# migrations, in the order given, the array <layer>_migrations of {name, text}, ended by {NULL, NULL}.
function(embed_sql layer files migrations)
    if(NOT files AND NOT migrations)
        return()
    endif()
    set(directory ${CMAKE_CURRENT_BINARY_DIR}/sql)
    set(inputs ${files} ${migrations})
    list(TRANSFORM inputs PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    add_custom_command(
        OUTPUT ${directory}/${layer}_sql.c ${directory}/${layer}_sql.h
        COMMAND ${CMAKE_COMMAND} -DLAYER=${layer} -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}
                -DOUTPUT=${directory} "-DFILES=${files}" "-DMIGRATIONS=${migrations}"
                -P ${PROJECT_SOURCE_DIR}/cmake/EmbedSql.cmake
        DEPENDS ${inputs} ${PROJECT_SOURCE_DIR}/cmake/EmbedSql.cmake
        VERBATIM)
    target_sources(${layer} PRIVATE ${directory}/${layer}_sql.c)
    target_include_directories(${layer} PUBLIC ${directory})
endfunction()
