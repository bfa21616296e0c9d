// A small checkpoint on the disk.
#pragma once

#include <string>

#include "trainer/checkpoint_format.h"
#include "trainer/whole_file.h"

namespace lowpeak::trainer {

inline void save_checkpoint(const std::string& path, std::int64_t step) {
  const float values[] = {1.5f, static_cast<float>(step)};
  const Progress progress{"an id", step, 7, "a fingerprint", {{"schedule", "cosine"}}, "a hash", 11};
  WholeFile file(path);
  Checksummed writer(file.fd());
  write_safetensors([&](const void* data, std::size_t size) { writer.write(data, size); },
                    {{"factor", dtype_named("float32"), {2}, values}}, metadata_of(progress), [] {});
  writer.finish();
  file.take_place();
}

}  // namespace lowpeak::trainer
