// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/file.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace file_test {

using namespace veneer;
using Catch::Contains;
using veneer::testing::file_bytes;
using veneer::testing::TemporaryFolder;
namespace fs = std::filesystem;

TEST_CASE("what is written is what is read") {
  const TemporaryFolder folder;
  for (const std::size_t size : {0u, 1u, 4095u, 4096u, 4097u, 300000u}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 % 251);
    write_atomically(folder / "f", bytes);
    CHECK(file_bytes(folder / "f") == bytes);
    CHECK(read_text(folder / "f", size) == bytes);
    const MappedFile mapped(folder / "f");
    CHECK(mapped.text() == bytes);
    CHECK(mapped.size() == size);
    CHECK(mapped.bytes().size() == size);
    mapped.forget(mapped.data(), size);
    mapped.forget(mapped.data() + size / 3, size / 2);
    mapped.forget(mapped.data(), size + 1);  // not a part of the file: nothing happens
    mapped.forget(reinterpret_cast<const std::byte*>(bytes.data()), size);
    CHECK(mapped.text() == bytes);
  }
  CHECK(folder.count() == 1);
}

TEST_CASE("reading refuses what is no file within the limit") {
  const TemporaryFolder folder;
  folder.file("five", "12345");
  CHECK(read_text(folder / "five", 5) == "12345");
  CHECK_THROWS_WITH(read_text(folder / "five", 4), Contains("5 bytes, at most 4 are read"));
  CHECK_THROWS_AS(read_text(folder / "five", 4), FormatError);
  CHECK_THROWS_WITH(read_text(folder / "absent", 4), Contains("absent: can't be opened for reading: No such file"));
  CHECK_THROWS_AS(MappedFile(folder / "absent"), IoError);
  CHECK_THROWS_WITH(read_text(folder.path(), 4), Contains("is a folder, expected a file"));
  CHECK_THROWS_WITH(MappedFile(folder.path()), Contains("is a folder, expected a file"));
  CHECK_THROWS_WITH(read_text("/dev/zero", 4), Contains("not a regular file"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(MappedFile(folder / "pipe"), Contains("not a regular file"));  // and does not wait for a writer
  fs::create_symlink("five", folder / "link");
  CHECK(read_text(folder / "link", 5) == "12345");
  fs::create_symlink("nowhere", folder / "dangling");
  CHECK_THROWS_AS(read_text(folder / "dangling", 5), IoError);
}

TEST_CASE("files that the system makes up are read to their end and within the limit") {
  CHECK(read_text("/proc/self/status", 1 << 20).find("Pid:") != std::string::npos);  // reports a size of 0 bytes
  CHECK_THROWS_AS(read_text("/proc/self/status", 10), FormatError);
}

TEST_CASE("a mapping moves and keeps its bytes") {
  const TemporaryFolder folder;
  MappedFile first(folder.file("a", "aaa"));
  const char* address = first.text().data();
  MappedFile second(std::move(first));
  CHECK(second.text().data() == address);
  MappedFile third(folder.file("b", "bbbb"));
  third = std::move(second);
  CHECK(third.text() == "aaa");
  CHECK(third.path().filename() == "a");
}

TEST_CASE("a file that is not committed leaves no trace") {
  const TemporaryFolder folder;
  folder.file("f", "old");
  {
    AtomicFile file(folder / "f");
    file.write("new");
    CHECK(folder.count() == 2);
  }
  CHECK(folder.count() == 1);
  CHECK(file_bytes(folder / "f") == "old");
  CHECK_THROWS_AS(write_atomically(folder / "f",
                                   [](AtomicFile& file) {
                                     file.write("half");
                                     throw ArgumentError("stop");
                                   }),
                  ArgumentError);
  CHECK(folder.count() == 1);
  CHECK(file_bytes(folder / "f") == "old");
  write_atomically(folder / "f", [](AtomicFile& file) {
    file.write("one ");
    file.write("two");
    CHECK(file.size() == 7);
  });
  CHECK(file_bytes(folder / "f") == "one two");
}

TEST_CASE("a committed file can't be committed again") {
  const TemporaryFolder folder;
  AtomicFile file(folder / "f");
  file.commit();
  CHECK_THROWS_AS(file.commit(), IoError);
  CHECK(file_bytes(folder / "f").empty());
}

TEST_CASE("permissions of the replaced file stay") {
  const TemporaryFolder folder;
  fs::permissions(folder.file("f", "secret"), fs::perms::owner_read | fs::perms::owner_write);
  write_atomically(folder / "f", "new secret");
  CHECK(fs::status(folder / "f").permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("only files are replaced, and a link is replaced itself") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "sub");
  CHECK_THROWS_WITH(write_atomically(folder / "sub", "x"), Contains("only files are replaced"));
  CHECK_THROWS_AS(write_atomically("/dev/null", "x"), IoError);
  CHECK_THROWS_AS(write_atomically(folder / "sub/", "x"), IoError);
  CHECK_THROWS_AS(write_atomically(folder / "absent/f", "x"), IoError);
  folder.file("target", "kept");
  fs::create_symlink("target", folder / "link");
  write_atomically(folder / "link", "new");
  CHECK(file_bytes(folder / "target") == "kept");
  CHECK(file_bytes(folder / "link") == "new");
  CHECK_FALSE(fs::is_symlink(folder / "link"));
}

TEST_CASE("a file name at the limit of the file system can be written") {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  write_atomically(folder / name, "x");
  CHECK(file_bytes(folder / name) == "x");
}

TEST_CASE("a write that fails in the middle leaves the old file") {
  const TemporaryFolder folder;
  folder.file("f", "old");
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {  // a limit on the size of files makes the system fail a write half way
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100000, 100000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_atomically(folder / "f", std::string(1000000, 'x'));
    } catch (const DiskError&) {
      ::_exit(3);
    } catch (const IoError&) {
      ::_exit(7);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
  CHECK(file_bytes(folder / "f") == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE("a full disk is an error of its own, with the bytes needed and free") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(detail::throw_write(folder / "f", "can't be written", ENOSPC, 123456), DiskError);
  CHECK_THROWS_AS(detail::throw_write(folder / "f", "can't be written", EDQUOT, 123456), DiskError);
  CHECK_THROWS_WITH(detail::throw_write(folder / "f", "can't be written", ENOSPC, 123456),
                    Contains("No space left on device; needed 123456 bytes, ") && Contains(" free"));
  try {
    detail::throw_write(folder / "f", "can't be written", EIO, 1);
  } catch (const DiskError&) {
    FAIL("an I/O error is no full disk");
  } catch (const IoError& error) {
    CHECK_THAT(error.what(), Contains("Input/output error"));
  }
}

TEST_CASE("killed at any moment, a writer leaves one of its files whole") {
  const TemporaryFolder folder;
  const std::string a(200000, 'a');
  const std::string b(100000, 'b');
  write_atomically(folder / "f", a);
  int torn = 0;
  for (int trial = 0; trial < 15; ++trial) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (;;) {
        write_atomically(folder / "f", b);
        write_atomically(folder / "f", a);
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(300 + 700 * trial));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    const std::string found = file_bytes(folder / "f");
    torn += found != a && found != b;
  }
  CHECK(torn == 0);
}

TEST_CASE("names in files stay in their folder") {
  const std::vector<std::string> hostile{"",
                                         ".",
                                         "..",
                                         "/",
                                         "/etc/passwd",
                                         "../model.safetensors",
                                         "../../x",
                                         "a/b",
                                         "a/../b",
                                         "./a",
                                         "a/",
                                         "sub/..",
                                         "..\\x",
                                         "a\\b",
                                         "\\\\host\\share",
                                         "C:\\x",
                                         "C:x",
                                         std::string("a\0b", 3),
                                         std::string("\0", 1),
                                         std::string(256, 'a'),
                                         "~/../x",
                                         "x/../../y",
                                         "//x",
                                         "file:///etc/passwd",
                                         "a//b"};
  for (const std::string& name : hostile) {
    INFO(printable(name));
    CHECK_THROWS_AS(check_file_name(name, "index.json"), FormatError);
  }
  CHECK_THROWS_WITH(check_file_name("../x", "m/index.json"),
                    Contains("m/index.json: the file name \"../x\" has a path separator"));
  for (const char* name :
       {"model.safetensors", "model-00001-of-00003.safetensors", "...", "a b", ".hidden", "..a", "é"}) {
    CHECK_NOTHROW(check_file_name(name, "index.json"));
  }
}

TEST_CASE("a file of a folder may be a link to anywhere, but its name leads nowhere else") {
  const TemporaryFolder folder;
  folder.file("elsewhere/data", "x");
  folder.file("model/inside", "x");
  fs::create_symlink("../elsewhere/data", folder / "model/out");
  fs::create_symlink("inside", folder / "model/in");
  fs::create_symlink(folder / "elsewhere/data", folder / "model/absolute");
  fs::create_symlink("absolute", folder / "model/twice");
  for (const char* name : {"inside", "in", "out", "absolute", "twice"}) {
    INFO(name);
    CHECK(file_inside(folder / "model", name, "i") == folder / "model" / name);
    CHECK(read_text(folder / "model" / name, 10) == "x");
  }
  fs::create_symlink("../elsewhere/gone", folder / "model/broken");
  CHECK_THROWS_WITH(file_inside(folder / "model", "broken", "i"),
                    Contains("is a link to ../elsewhere/gone, which is not there"));
  CHECK_THROWS_AS(file_inside(folder / "model", "broken", "i"), IoError);
  CHECK_THROWS_WITH(file_inside(folder / "model", "absent", "index"), Contains("named in index"));
  CHECK_THROWS_AS(file_inside(folder / "model", "absent", "i"), IoError);
  CHECK_THROWS_AS(file_inside(folder / "model", "../elsewhere/data", "i"), FormatError);
}

TEST_CASE("a git-lfs pointer or a web page in place of a file is named as such") {
  const TemporaryFolder folder;
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') + "\nsize 269060552\n";
  const std::string path = folder.file("pointer", pointer);
  CHECK_THROWS_WITH(read_text(path, 1000),
                    Contains("git-lfs pointer") && Contains("269060552") && Contains("git lfs pull") && Contains(path));
  CHECK_THROWS_AS(read_text(path, 1000), FormatError);
  for (const char* page : {"<!DOCTYPE html><html>", "<!doctype HTML>", "\n  <html lang=en>", "\xEF\xBB\xBF<HTML>",
                           "<?xml version=\"1.0\"?><Error>"}) {
    INFO(page);
    CHECK_THROWS_WITH(read_text(folder.file("page", page), 1000), Contains("web page") && Contains("Download"));
  }
  for (const char* text : {"", "{}", "version 1", "<s>", "<|im_start|>", "<htm", "version https"}) {
    INFO(text);
    CHECK(read_text(folder.file("text", text), 1000) == text);
  }
}

TEST_CASE("a folder appears in one piece, or not at all") {
  const TemporaryFolder folder;
  {
    AtomicFolder fresh(folder / "parent/out/");
    write_atomically(fresh.path() / "a", "1");
    fs::create_directory(fresh.path() / "sub");
    write_atomically(fresh.path() / "sub/b", "2");
    CHECK_FALSE(fs::exists(folder / "parent/out"));
    fresh.commit();
    CHECK_THROWS_AS(fresh.commit(), IoError);
  }
  CHECK(file_bytes(folder / "parent/out/a") == "1");
  CHECK(file_bytes(folder / "parent/out/sub/b") == "2");
  { AtomicFolder dropped(folder / "parent/other"); }
  CHECK(std::distance(fs::directory_iterator(folder / "parent"), fs::directory_iterator()) == 1);
}

TEST_CASE("a folder is replaced; other files stay unless they are to go") {
  const TemporaryFolder folder;
  folder.file("out/a", "old");
  folder.file("out/notes", "mine");
  folder.file("out/sub/x", "old");
  folder.file("out/sub/y", "mine too");
  fs::create_symlink("a", folder / "out/link");
  fs::permissions(folder / "out", fs::perms::owner_all);
  AtomicFolder fresh(folder / "out");
  write_atomically(fresh.path() / "a", "new");
  fs::create_directory(fresh.path() / "sub");
  write_atomically(fresh.path() / "sub/x", "new");
  CHECK(file_bytes(folder / "out/a") == "old");
  fresh.commit();
  CHECK(file_bytes(folder / "out/a") == "new");
  CHECK(file_bytes(folder / "out/notes") == "mine");
  CHECK(file_bytes(folder / "out/sub/x") == "new");
  CHECK(file_bytes(folder / "out/sub/y") == "mine too");
  CHECK(fs::is_symlink(folder / "out/link"));
  CHECK(fs::status(folder / "out").permissions() == fs::perms::owner_all);
  CHECK(folder.count() == 1);

  AtomicFolder bare(folder / "out", OtherFiles::remove);
  write_atomically(bare.path() / "b", "only");
  bare.commit();
  CHECK(std::distance(fs::directory_iterator(folder / "out"), fs::directory_iterator()) == 1);
  CHECK(file_bytes(folder / "out/b") == "only");
  CHECK(folder.count() == 1);
}

TEST_CASE("where names can't be exchanged, two renames do, and undo") {
  const TemporaryFolder folder;
  folder.file("out/a", "old");
  folder.file("fresh/a", "new");
  const fs::path old = detail::replace_by_renames(folder / "fresh", folder / "out");
  CHECK(file_bytes(folder / "out/a") == "new");
  CHECK(file_bytes(old / "a") == "old");
  CHECK_FALSE(fs::exists(folder / "fresh"));
  CHECK_THROWS_AS(detail::replace_by_renames(folder / "absent", folder / "out"), IoError);
  CHECK(file_bytes(folder / "out/a") == "new");
}

TEST_CASE("a folder of that name that appears while another is put in place is no failure") {
  const TemporaryFolder folder;
  folder.file("new/f", "new"), folder.file("other/g", "other");
  CHECK_FALSE(veneer::detail::renamed_to_free_name(folder / "new", folder / "other"));
  CHECK(file_bytes(folder / "new/f") == "new");
  CHECK(veneer::detail::renamed_to_free_name(folder / "new", folder / "free"));
  CHECK(file_bytes(folder / "free/f") == "new");
}

TEST_CASE("what can't be swapped is refused before anything is written") {
  const TemporaryFolder folder;
  folder.file("file", "x");
  CHECK_THROWS_WITH(AtomicFolder(folder / "file"), Contains("is a file, expected a folder"));
  CHECK_THROWS_AS(AtomicFolder(folder / "file/out"), IoError);
  CHECK_THROWS_WITH(AtomicFolder("."), Contains("name a folder inside it"));
  CHECK_THROWS_AS(AtomicFolder("/"), IoError);
  CHECK(folder.count() == 1);
}

TEST_CASE("a link to a folder is followed, so that the files land where it points") {
  const TemporaryFolder folder;
  folder.file("big-disk/run/a", "old");
  fs::create_symlink(folder / "big-disk/run", folder / "out");
  AtomicFolder fresh(folder / "out");
  write_atomically(fresh.path() / "a", "new");
  fresh.commit();
  CHECK(fs::is_symlink(folder / "out"));
  CHECK(file_bytes(folder / "big-disk/run/a") == "new");
}

TEST_CASE("a reader never misses a folder that is being replaced") {
  const TemporaryFolder folder;
  folder.file("out/a", "0");
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i) {
      AtomicFolder fresh(folder / "out", OtherFiles::remove);
      write_atomically(fresh.path() / "a", std::to_string(i));
      fresh.commit();
    }
    done = true;
  });
  int missing = 0;
  while (!done) missing += ::access((folder / "out").c_str(), R_OK) != 0;
  writer.join();
  CHECK(missing == 0);
}

}  // namespace file_test
