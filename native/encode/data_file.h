// A JSONL file by the number of its lines, as lowpeak_runtime/data/jsonl.py: looked through once, then read line by
// line.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "encode/record.h"
#include "trainer/files.h"

namespace lowpeak::encode {

class DataFile {
 public:
  // Looks through the whole file; blank lines are skipped. `look` is called for every piece of it that was read, with
  // the number of a line, from 1, and how many of its bytes are known, before more of it is kept; what it throws ends
  // the reading. Throws DataError, with the line's number, when it cannot be read, or a line is not well formed or of
  // another kind than the first.
  using Look = std::function<void(std::int64_t line, std::int64_t bytes)>;
  DataFile(const std::string& path, const Look& look);

  std::size_t size() const { return starts_.size() - 1; }
  const std::string& sha256() const { return sha256_; }

  // Throws DataError when the file is not what it was.
  Record record(std::size_t number) const;

  // The problem with the place named.
  trainer::Error at_line(std::size_t number, const trainer::Error& error) const;

 private:
  std::string line(std::size_t number) const;
  std::vector<std::int64_t> state() const;

  const std::string path_;
  trainer::Descriptor file_;
  std::vector<std::int64_t> starts_;  // of the lines that are not blank; the last is the file's size
  std::vector<std::int64_t> state_;
  std::string sha256_;
};

}  // namespace lowpeak::encode
