// safetensors files: read tensor by tensor, or parts of them, and written so. The writer's layout is
// lowpeak_artifact/safetensors_file.py's. As the format wants it: names once, tensors one after the other without a
// hole, each where its type may lie.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "trainer/dtype.h"
#include "trainer/files.h"

namespace lowpeak::trainer {

class SafetensorsFile {
 public:
  struct Entry {
    const DType* dtype;
    std::vector<std::int64_t> shape;
    std::size_t begin, end;  // in the file
  };

  // Opens the file and reads its header. Throws std::runtime_error for a damaged file, SystemError when it cannot be
  // read.
  explicit SafetensorsFile(const std::string& path);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // Bytes of a tensor, `from` on. They are read, not mapped: a fault would map all that the page cache has in one
  // piece, which no plan knows of, and end the process where the file has become shorter. Throws as the constructor.
  void read(const Entry& entry, void* to, std::size_t from, std::size_t bytes) const;
  void read(const Entry& entry, void* to) const { read(entry, to, 0, entry.end - entry.begin); }

 private:
  Descriptor file_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

struct TensorToWrite {
  std::string name;
  const DType* dtype;
  std::vector<std::int64_t> shape;
  const void* data;

  std::size_t bytes() const;
};

using Write = std::function<void(const void* data, std::size_t size)>;

// `written` is called after each tensor. What `write` throws passes through.
void write_safetensors(const Write& write, std::vector<TensorToWrite> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::function<void()>& written);

}  // namespace lowpeak::trainer
