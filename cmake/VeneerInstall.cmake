# SPDX-License-Identifier: Apache-2.0
# Installs headers and the CMake package. The package is relocatable: it finds its headers relative to itself.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(VENEER_PACKAGE_DIR "${CMAKE_INSTALL_DATADIR}/cmake/veneer")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/veneer" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inl" PATTERN "*.cuh")
install(TARGETS veneer_headers EXPORT veneer)
install(EXPORT veneer NAMESPACE veneer:: FILE veneerTargets.cmake DESTINATION "${VENEER_PACKAGE_DIR}")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/veneerConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/package/veneerConfig.cmake" INSTALL_DESTINATION "${VENEER_PACKAGE_DIR}")
# Headers are independent of the architecture; below 1.0 a minor version may be incompatible.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/veneerConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_BINARY_DIR}/package/veneerConfig.cmake" "${PROJECT_BINARY_DIR}/package/veneerConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/VeneerComponents.cmake" "${PROJECT_SOURCE_DIR}/cmake/FindVeneerPcre2.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/FindVeneerUtf8proc.cmake" "${PROJECT_SOURCE_DIR}/cmake/FindVeneerSentencepiece.cmake"
  DESTINATION "${VENEER_PACKAGE_DIR}")
