# SPDX-License-Identifier: Apache-2.0
# The library's targets in this source tree. The targets of an installed package are created by veneerConfig.cmake from the
# same list of components (VeneerComponents.cmake), so the names and requirements are the same in both.

# The target is not named `veneer`, which is the name of the program.
add_library(veneer_headers INTERFACE)
add_library(veneer::veneer ALIAS veneer_headers)
set_target_properties(veneer_headers PROPERTIES EXPORT_NAME veneer)
target_compile_features(veneer_headers INTERFACE cxx_std_20)
target_include_directories(veneer_headers INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:include>")

if(NOT TARGET Eigen3::Eigen)
  find_package(Eigen3 3.4 QUIET CONFIG)
endif()
if(NOT TARGET Eigen3::Eigen)
  message(FATAL_ERROR "veneer: Eigen 3.4 was not found. Install it (Debian: apt-get install libeigen3-dev) "
                      "or point CMAKE_PREFIX_PATH at it.")
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
target_link_libraries(veneer_headers INTERFACE Eigen3::Eigen Threads::Threads)

include(VeneerComponents)
veneer_add_components(ALIAS)
