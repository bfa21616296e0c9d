// safetensors files: read by mapping, written tensor by tensor. The writer's layout is export/safetensors_file.py's.
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

using Write = std::function<void(const void* data, std::size_t size)>;

// `written` is called after each tensor. What `write` throws passes through.
void write_safetensors(const Write& write, std::vector<TensorToWrite> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata,
                       const std::function<void()>& written);

}  // namespace lowpeak::trainer
