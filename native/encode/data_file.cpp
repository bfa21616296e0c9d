#include "encode/data_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "trainer/error.h"
#include "trainer/sha256.h"

namespace lowpeak::encode {
namespace {

using trainer::data_error;
using trainer::SystemError;

constexpr std::size_t kPiece = 1 << 16;
constexpr char kByteOrderMark[] = "\xEF\xBB\xBF";

trainer::Descriptor opened(const std::string& path) {
  try {
    return trainer::Descriptor::open(path, O_RDONLY | O_NONBLOCK);  // a pipe is not waited for
  } catch (const SystemError& error) {
    throw data_error(path + " cannot be read: " + error.what());
  }
}

// As bytes.strip of Python.
bool is_empty(const std::string& line) { return line.find_first_not_of(" \t\n\r\v\f") == std::string::npos; }

std::size_t read_at(int file, char* into, std::size_t size, std::int64_t place, const std::string& path) {
  ssize_t got;
  do got = ::pread(file, into, size, place);
  while (got < 0 && errno == EINTR);
  if (got < 0) throw data_error(path + " cannot be read: " + SystemError().what());
  return static_cast<std::size_t>(got);
}

std::string without_mark(const std::string& line) {
  return line.compare(0, 3, kByteOrderMark) == 0 ? line.substr(3) : line;
}

}  // namespace

DataFile::DataFile(const std::string& path, const Look& look) : path_(path), file_(opened(path)) {
  state_ = state();
  trainer::Sha256 digest;
  std::string line, kind;
  std::vector<char> piece(kPiece);
  std::int64_t start = 0, end = 0, number = 0, first = 0;
  const auto take = [&] {
    ++number;
    if (!is_empty(line)) {
      const std::string place = path_ + ", line " + std::to_string(number) + ": ";
      try {
        const std::string found = read_record(without_mark(line)).kind_in_words();
        if (first == 0) {
          first = number;
          kind = found;
        } else if (found != kind) {
          const std::string line_of_first = std::to_string(first);
          throw data_error("has " + found + ", but line " + line_of_first + " has " + kind + ": split the file");
        }
      } catch (const trainer::Error& error) {
        throw data_error(place + error.what(), {{"line", number}});
      }
      starts_.push_back(start);
    }
    start = end;
    line.clear();
  };
  for (;;) {
    const std::size_t got = read_at(file_.get(), piece.data(), kPiece, end, path_);
    if (got == 0) break;
    digest.update(piece.data(), got);
    for (const char *at = piece.data(), *limit = at + got; at < limit;) {
      const char* newline = std::find(at, limit, '\n');
      const char* stop = newline == limit ? limit : newline + 1;
      look(number + 1, end + (stop - at) - start);
      line.append(at, stop);
      end += stop - at;
      if (newline != limit) take();
      at = stop;
    }
  }
  if (!line.empty()) take();
  if (starts_.empty()) throw data_error(path + " is empty: it needs one JSON object a line");
  starts_.push_back(end);
  sha256_ = digest.hex_digest();
}

std::vector<std::int64_t> DataFile::state() const {
  struct stat found;
  if (::fstat(file_.get(), &found) != 0) throw data_error(path_ + " cannot be read: " + SystemError().what());
  if (!S_ISREG(found.st_mode)) {
    throw data_error(path_ + " is no regular file, so it can be read only once: copy it to one");
  }
  return {static_cast<std::int64_t>(found.st_mtim.tv_sec), static_cast<std::int64_t>(found.st_mtim.tv_nsec),
          static_cast<std::int64_t>(found.st_size)};
}

std::string DataFile::line(std::size_t number) const {
  std::string made(static_cast<std::size_t>(starts_[number + 1] - starts_[number]), '\0');
  if (read_at(file_.get(), made.data(), made.size(), starts_[number], path_) != made.size()) {
    throw data_error(path_ + " was changed since training began: train on a copy");
  }
  return made.substr(0, made.find('\n'));
}

Record DataFile::record(std::size_t number) const {
  if (state() != state_) throw data_error(path_ + " was changed since training began: train on a copy");
  return read_record(without_mark(line(number)));
}

trainer::Error DataFile::at_line(std::size_t number, const trainer::Error& error) const {
  std::int64_t lines = 1;
  std::vector<char> piece(kPiece);
  for (std::int64_t place = 0; place < starts_[number];) {
    const auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(kPiece, starts_[number] - place));
    const std::size_t got = read_at(file_.get(), piece.data(), wanted, place, path_);
    if (got == 0) break;
    lines += std::count(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got), '\n');
    place += static_cast<std::int64_t>(got);
  }
  trainer::Numbers numbers = error.numbers;
  numbers["line"] = lines;
  return data_error(path_ + ", line " + std::to_string(lines) + ": " + error.what(), numbers);
}

}  // namespace lowpeak::encode
