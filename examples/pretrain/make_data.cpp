// SPDX-License-Identifier: Apache-2.0
/// \file make_data.cpp
/// make_data OUT_DIR: writes the shipped data except the weights (data_files.hpp lists it). The bytes are
/// always the same.
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "veneer/core/error.hpp"

#include "pretrain/data_files.hpp"

namespace {

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  veneer::expects<veneer::IoError>(
      file.good(), "make_data: cannot write " + path.string() + "; is the folder writable, is there space?");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: make_data OUT_DIR\n";
    return 2;
  }
  try {
    for (const veneer::pretrain::DataFile& file : veneer::pretrain::data_files()) {
      write(std::filesystem::path(arguments[1]) / file.path, file.bytes);
      std::cout << file.bytes.size() << "  " << file.path << "\n";
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
