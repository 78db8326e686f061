# SPDX-License-Identifier: Apache-2.0
# `cmake --install` and `find_package(Cairn)`: headers under include/cairn (so that includes read as they do here), the
# static libraries, and a package file that finds again what they link. Cairn::cairn is all of it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(cairn_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Cairn)
set(cairn_include_dir ${CMAKE_INSTALL_INCLUDEDIR}/cairn)

foreach(name base snapshot cache solver dockerfile remote engine)
  set_target_properties(cairn_${name} PROPERTIES EXPORT_NAME ${name})
  add_library(Cairn::${name} ALIAS cairn_${name})
endforeach()
add_library(cairn INTERFACE)
add_library(Cairn::cairn ALIAS cairn)
target_link_libraries(cairn INTERFACE cairn_engine cairn_dockerfile)
install(TARGETS cairn cairn_base cairn_snapshot cairn_cache cairn_solver cairn_dockerfile cairn_remote cairn_engine EXPORT CairnTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT CairnTargets NAMESPACE Cairn:: DESTINATION ${cairn_package_dir})

# The folders of libbase are doors, all of them public but what shows the vendor; of the others only the top is public.
install(DIRECTORY libbase DESTINATION ${cairn_include_dir} FILES_MATCHING PATTERN "*.h"
        PATTERN "env_state.h" EXCLUDE PATTERN "mdb_error.h" EXCLUDE PATTERN "thread_frames.h" EXCLUDE
        PATTERN "openat2.h" EXCLUDE)
foreach(library libsnapshot libcache libsolver libdockerfile libremote)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${library}/*.h)
  list(FILTER headers EXCLUDE REGEX "/reapi_tier\\.h$")  # whose library is not installed: only cached needs it
  install(FILES ${headers} DESTINATION ${cairn_include_dir}/${library})
endforeach()
install(FILES libsolver/wire/ops.h DESTINATION ${cairn_include_dir}/libsolver/wire)
install(FILES tools/engine/engine.h tools/engine/order.h tools/engine/client.h tools/engine/server.h
        DESTINATION ${cairn_include_dir}/tools/engine)

configure_package_config_file(cmake/CairnConfig.cmake.in ${PROJECT_BINARY_DIR}/CairnConfig.cmake
                              INSTALL_DESTINATION ${cairn_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/CairnConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/CairnConfig.cmake ${PROJECT_BINARY_DIR}/CairnConfigVersion.cmake
        DESTINATION ${cairn_package_dir})
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
