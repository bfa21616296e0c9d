#include "encode/batch_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "trainer/batch_ranges.h"
#include "trainer/error.h"
#include "trainer/files.h"
#include "trainer/room.h"
#include "trainer/safetensors.h"
#include "trainer/whole_file.h"

namespace lowpeak::encode {
namespace {

constexpr std::int64_t kFileBytes = 1 << 20;

trainer::Error cannot_write(std::int64_t bytes, const std::string& folder, const std::string& why) {
  return trainer::environment_problem(std::to_string(bytes) + " bytes of batches cannot be written to " + folder +
                                          ": " + why + "; free room there, or name another folder",
                                      {{"bytes", bytes}});
}

std::vector<trainer::BatchRange> ranges_in(const std::string& folder) {
  try {
    return trainer::batch_ranges_in(folder);
  } catch (const trainer::SystemError& error) {
    throw trainer::environment_problem("the folder " + folder + " cannot be looked through: " + error.what());
  }
}

// The tensors of a file; they hold their values.
class Packed {
 public:
  Packed(const std::vector<Batch>& batches, const std::vector<BatchShape>& buckets) {
    const auto* whole = trainer::dtype_named("int64");
    std::vector<std::int64_t> chosen, ends;
    for (const Batch& batch : batches) {
      chosen.push_back(static_cast<std::int64_t>(batch.bucket));
      ends.push_back(batch.end);
    }
    const auto count = static_cast<std::int64_t>(batches.size());
    append("buckets", whole, {count}, chosen);
    append("ends", whole, {count}, ends);
    for (const Batch& batch : batches) {
      const BatchShape& shape = buckets[batch.bucket];
      const std::string start = std::to_string(batch.bucket) + ".";
      const std::vector<std::int64_t> grid{1, shape.batch_size, shape.seq_len};
      append(start + "input_ids", shape.input_type, grid, batch.input_ids);
      if (shape.rows) append(start + "rows", shape.rows_type, {1, *shape.rows}, batch.rows);
      append(start + "targets", shape.target_type, shape.rows ? std::vector<std::int64_t>{1, *shape.rows} : grid,
             batch.targets);
    }
  }

  std::vector<trainer::TensorToWrite> tensors() const {
    std::vector<trainer::TensorToWrite> made;
    for (const Tensor& each : tensors_) made.push_back({each.name, each.type, each.shape, each.bytes.data()});
    return made;
  }

 private:
  struct Tensor {
    std::string name;
    const trainer::DType* type;
    std::vector<std::int64_t> shape;
    std::string bytes;
  };

  // Makes the tensor, or adds one to its first dimension.
  void append(const std::string& name, const trainer::DType* type, const std::vector<std::int64_t>& shape,
              const std::vector<std::int64_t>& values) {
    auto found = std::find_if(tensors_.begin(), tensors_.end(), [&](const Tensor& each) { return each.name == name; });
    if (found == tensors_.end()) {
      found = tensors_.insert(found, {name, type, shape, ""});
    } else {
      ++found->shape[0];
    }
    for (const std::int64_t value : values) {
      const auto small = static_cast<std::int32_t>(value);
      const void* number = type->bytes == 4 ? static_cast<const void*>(&small) : &value;
      found->bytes.append(static_cast<const char*>(number), type->bytes);
    }
  }

  std::vector<Tensor> tensors_;
};

}  // namespace

BatchFiles::BatchFiles(const std::string& folder, const std::vector<BatchShape>& buckets, std::int64_t first)
    : folder_(folder), buckets_(buckets), first_(first) {
  made_folder_ = ::mkdir(folder.c_str(), 0700) == 0;
  if (made_folder_) return;
  if (errno != EEXIST) {
    throw trainer::environment_problem("the folder " + folder + " cannot be made: " + trainer::SystemError().what());
  }
  for (const trainer::BatchRange& range : ranges_in(folder)) {
    if (range.end <= first) continue;
    throw trainer::data_error("the folder " + folder + " holds batches already, " + range.file() +
                                  ", which would be mixed with those from " + std::to_string(first) +
                                  " on: remove them, or name another folder",
                              {{"first", first}, {"end", range.end}});
  }
}

BatchFiles::~BatchFiles() {
  if (finished_) return;
  for (const std::string& path : written_) ::unlink(path.c_str());
  if (made_folder_) ::rmdir(folder_.c_str());
}

void BatchFiles::require_room(std::int64_t count) const {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const BatchShape& shape : buckets_) {
    const std::int64_t ids = shape.batch_size * shape.seq_len, targets = shape.rows.value_or(ids);
    const auto rows = shape.rows ? *shape.rows * static_cast<std::int64_t>(shape.rows_type->bytes) : 0;
    least = std::min(least, ids * static_cast<std::int64_t>(shape.input_type->bytes) +
                                targets * static_cast<std::int64_t>(shape.target_type->bytes) + rows);
  }
  if (count > 0 && !buckets_.empty()) {
    trainer::require_room(folder_, {least}, "the data as " + std::to_string(count) + " batches", count);
  }
}

void BatchFiles::add(Batch batch) {
  bytes_ += bytes_of(batch);
  batches_.push_back(std::move(batch));
  if (bytes_ >= kFileBytes) write();
}

void BatchFiles::finish() {
  write();
  finished_ = true;
}

std::int64_t BatchFiles::bytes_of(const Batch& batch) const {
  const BatchShape& shape = buckets_[batch.bucket];
  const std::size_t rows = batch.rows.empty() ? 0 : batch.rows.size() * shape.rows_type->bytes;
  return static_cast<std::int64_t>(batch.input_ids.size() * shape.input_type->bytes +
                                   batch.targets.size() * shape.target_type->bytes + rows);
}

void BatchFiles::write() {
  if (batches_.empty()) return;
  const std::int64_t end = first_ + static_cast<std::int64_t>(batches_.size());
  const std::string name = trainer::BatchRange{first_, end}.file();
  const std::string path = folder_ + "/" + name;
  const Packed packed(batches_, buckets_);
  try {
    trainer::WholeFile file(path, 0600);
    trainer::write_safetensors([&](const void* data, std::size_t size) { trainer::write_all(file.fd(), data, size); },
                               packed.tensors(), {}, [] {});
    file.take_place();
  } catch (const trainer::SystemError& error) {
    throw cannot_write(bytes_, folder_, error.what());
  }
  written_.push_back(path);
  first_ = end;
  bytes_ = 0;
  batches_.clear();
}

}  // namespace lowpeak::encode
