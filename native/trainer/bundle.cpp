#include "trainer/bundle.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "trainer/error.h"
#include "trainer/files.h"
#include "trainer/json.h"
#include "trainer/sha256.h"

namespace lowpeak::trainer {
namespace {

namespace fs = std::filesystem;

constexpr char kManifest[] = "manifest.json";
constexpr char kAdapter[] = "adapter.safetensors";
constexpr char kSample[] = "sample.safetensors";
constexpr const char* kRequired[] = {"graph.json", "constants.safetensors", "plan.csv"};  // of each bucket

bool is_plain_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name == kManifest) return false;
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < ' ' || std::string("/\\:\"<>|?*").find(c) != std::string::npos) return false;
  }
  return true;
}

void require_folder(const std::string& folder) {
  if (!fs::is_directory(folder)) {
    throw artifact_error("no artifact at " + folder + ": it is " + (fs::exists(folder) ? "a file" : "missing"));
  }
}

void require_regular(const std::string& folder, const std::string& name) {
  const fs::path path = fs::path(folder) / name;
  const fs::file_status status = fs::symlink_status(path);
  const std::string whose = name + " of the artifact " + folder;
  if (fs::is_symlink(status)) {
    throw artifact_error(whose + " is a link to " + fs::read_symlink(path).string() +
                         "; links are not followed: copy the file in its place");
  }
  if (!fs::exists(status)) {
    throw artifact_error(name + " is missing from the artifact " + folder + "; copy or compile it again");
  }
  if (!fs::is_regular_file(status)) throw artifact_error(whose + " is no regular file; copy or compile it again");
}

void check_presence(const std::string& folder, const std::string& name, const FileRecord& record) {
  if (!is_plain_name(name)) {
    throw artifact_error(std::string(kManifest) + ": lists " + python_repr(name) +
                         ", which is not a file directly in the folder");
  }
  require_regular(folder, name);
  const auto size = static_cast<std::int64_t>(fs::file_size(fs::path(folder) / name));
  if (size != record.bytes) {
    throw artifact_error(name + " of the artifact " + folder + " is " +
                             (size < record.bytes ? "truncated" : "too long") + ": " + std::to_string(size) +
                             " bytes instead of " + std::to_string(record.bytes) + "; copy or compile it again",
                         {{"bytes", size}, {"expected_bytes", record.bytes}});
  }
}

std::string hash_of(const std::string& path) {
  const Descriptor file = Descriptor::regular(path);
  std::vector<std::uint8_t> piece(1 << 16);
  Sha256 digest;
  while (true) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError();
    if (got == 0) return digest.hex_digest();
    digest.update(piece.data(), static_cast<std::size_t>(got));
  }
}

void check_hash(const std::string& folder, const std::string& name, const FileRecord& record) {
  const std::string path = folder + "/" + name;
  std::string found;
  try {
    found = hash_of(path);
  } catch (const SystemError& error) {
    throw artifact_error(path + " cannot be read: " + error.what());
  }
  if (found != record.sha256) {
    throw artifact_error(name + " of the artifact " + folder + " is not the file that was compiled: its sha256 is " +
                         found + ", the manifest says " + record.sha256 + "; copy or compile it again");
  }
}

// What is trained lies in the adapter's file, so memory for it is no more than a multiple of that.
void check_parameters(const Manifest& manifest) {
  std::size_t bytes = 0;
  for (const TensorRecord& each : manifest.parameters) bytes += each.elements() * sizeof(float);
  const std::int64_t found = manifest.files.at(kAdapter).bytes;
  if (bytes <= static_cast<std::size_t>(found)) return;
  throw artifact_error(std::string(kManifest) + ": the parameters have " + std::to_string(bytes) + " bytes, " +
                           kAdapter + " has " + std::to_string(found) + "; compile the artifact again",
                       {{"bytes", static_cast<std::int64_t>(bytes)}, {"file_bytes", found}});
}

}  // namespace

void check_bundle(const std::string& folder, const Manifest& manifest, bool verify) {
  require_folder(folder);
  std::vector<std::string> required{manifest.weights_file, kAdapter};
  for (const Bucket& bucket : manifest.buckets) {
    for (const char* name : kRequired) required.push_back(bucket.file(name));
    if (manifest.sample) required.push_back(bucket.file(kSample));
  }
  for (const std::string& name : required) {
    if (manifest.files.count(name) == 0) {
      throw artifact_error(std::string(kManifest) + " of " + folder + " does not list " + name +
                           "; compile the artifact again");
    }
  }
  for (const auto& [name, record] : manifest.files) check_presence(folder, name, record);
  check_parameters(manifest);
  if (!verify) return;
  for (const auto& [name, record] : manifest.files) check_hash(folder, name, record);
}

void check_file(const std::string& folder, const Manifest& manifest, const std::string& name, bool verify) {
  const auto found = manifest.files.find(name);
  if (found == manifest.files.end()) {
    throw artifact_error("the artifact " + folder + " has no " + name +
                         ": compile it again, from a model folder with tokenizer files");
  }
  check_presence(folder, name, found->second);
  if (verify) check_hash(folder, name, found->second);
}

Manifest read_manifest(const std::string& folder, const std::optional<std::string>& expected) {
  require_folder(folder);
  const std::string path = folder + "/" + kManifest;
  if (!fs::exists(fs::symlink_status(path))) {
    throw artifact_error(folder + " is no artifact: it has no " + kManifest);
  }
  require_regular(folder, kManifest);
  std::string text;
  try {
    text = read_text(path);
  } catch (const SystemError& error) {
    throw artifact_error(path + " cannot be read: " + error.what());
  }
  // Before anything in it is looked at.
  if (const std::string found = sha256_of(text); expected && found != *expected) {
    throw artifact_error("the artifact " + folder + " is another than the job is for: the sha256 of its " + kManifest +
                         " is " + found + ", the job expects " + *expected +
                         "; copy the artifact again, or prepare the job anew");
  }
  return Manifest::from_json(text);
}

}  // namespace lowpeak::trainer
