// safetensors files: read by mapping, written tensor by tensor. The writer's layout is export/safetensors_file.py's.
// As the format wants it: names once, tensors one behind the other without a hole, each where its type may lie.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "dtype.h"
#include "files.h"

namespace lowpeak::trainer {

class SafetensorsFile {
 public:
  struct Entry {
    const DType* dtype;
    std::vector<std::int64_t> shape;
    std::size_t begin, end;  // in the mapping
  };

  // Throws std::runtime_error for a damaged file, SystemError when it cannot be read.
  explicit SafetensorsFile(const std::string& path);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::uint8_t* data(const Entry& entry) const { return mapping_.data() + entry.begin; }
  void release() const { mapping_.release(); }

 private:
  Mapping mapping_;
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

// `written` is called after each tensor. Throws SystemError.
void write_safetensors(int fd, std::vector<TensorToWrite> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::function<void()>& written);

}  // namespace lowpeak::trainer
