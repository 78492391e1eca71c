// SPDX-License-Identifier: Apache-2.0
/// \file file.hpp
/// Files: reading and mapping (`read_text`, `MappedFile`), atomic writing (`AtomicFile`, `write_atomically`,
/// `AtomicFolder`), and validation of file names from other files (`check_file_name`, `file_inside`).
#pragma once

#include "veneer/io/file/atomic_file.hpp"    // IWYU pragma: export
#include "veneer/io/file/atomic_folder.hpp"  // IWYU pragma: export
#include "veneer/io/file/read.hpp"           // IWYU pragma: export
