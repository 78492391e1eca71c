# SPDX-License-Identifier: Apache-2.0
# Finds sentencepiece and defines veneer::sentencepiece.
find_path(VENEER_SENTENCEPIECE_INCLUDE_DIR sentencepiece_processor.h)
find_library(VENEER_SENTENCEPIECE_LIBRARY NAMES sentencepiece)
mark_as_advanced(VENEER_SENTENCEPIECE_INCLUDE_DIR VENEER_SENTENCEPIECE_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(VeneerSentencepiece
  REQUIRED_VARS VENEER_SENTENCEPIECE_LIBRARY VENEER_SENTENCEPIECE_INCLUDE_DIR)

if(VeneerSentencepiece_FOUND AND NOT TARGET veneer::sentencepiece)
  add_library(veneer::sentencepiece INTERFACE IMPORTED)
  target_include_directories(veneer::sentencepiece INTERFACE "${VENEER_SENTENCEPIECE_INCLUDE_DIR}")
  target_link_libraries(veneer::sentencepiece INTERFACE "${VENEER_SENTENCEPIECE_LIBRARY}")
endif()
