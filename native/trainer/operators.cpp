#include "trainer/operators.h"

#include <dlfcn.h>

#include "executorch/exports.h"
#include "trainer/error.h"

namespace lowpeak::trainer {
namespace {

// A function that a loaded library may have; null if none has.
template <typename Function>
Function* exported(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
}

}  // namespace

void load_operators(const std::string& library) {
  if (::dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    throw environment_problem("the operators in " + library + " cannot be loaded: " + ::dlerror());
  }
}

OffloadFile::OffloadFile(const std::string& folder, std::int64_t bytes) {
  auto* open = exported<decltype(lowpeak_offload_open)>("lowpeak_offload_open");
  if (open == nullptr) {
    throw environment_problem(
        "the artifact puts values into a file, which only lowpeak's operators can: give their "
        "library with --ops-library");
  }
  if (const char* problem = open(folder.c_str(), bytes)) {
    const std::string size = std::to_string(bytes);
    throw environment_problem("the offload file of " + size + " bytes cannot be kept in " + folder + ": " + problem +
                                  "; free " + size + " bytes or give another folder",
                              {{"bytes", bytes}});
  }
}

OffloadFile::~OffloadFile() {
  if (auto* close = exported<decltype(lowpeak_offload_close)>("lowpeak_offload_close")) close();
}

std::string offload_failure() {
  auto* failure = exported<decltype(lowpeak_offload_failure)>("lowpeak_offload_failure");
  return failure == nullptr ? "" : failure();
}

double products_per_second(double seconds) {
  auto* measure = exported<decltype(lowpeak_products_per_second)>("lowpeak_products_per_second");
  return measure == nullptr ? 0 : measure(seconds);
}

Paged::Paged(const Mapping& file) : begin_(file.data()) {
  auto* tell = exported<decltype(lowpeak_pages_mapped)>("lowpeak_pages_mapped");
  if (tell != nullptr) tell(begin_, static_cast<std::int64_t>(file.size()));
}

Paged::~Paged() {
  auto* tell = exported<decltype(lowpeak_pages_unmapped)>("lowpeak_pages_unmapped");
  if (tell != nullptr) tell(begin_);
}

}  // namespace lowpeak::trainer
