#include "trainer/scratch_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "executorch/allocate.h"
#include "trainer/error.h"
#include "trainer/room.h"

namespace lowpeak::trainer {

Mapping scratch_file(const std::string& folder, std::size_t bytes, const std::string& what) {
  if (bytes == 0) return Mapping();
  try {
    std::string path = folder + "/scratch-XXXXXX";
    const Descriptor file(::mkostemp(path.data(), O_CLOEXEC));
    if (file.get() < 0) throw SystemError();
    ::unlink(path.c_str());
    // A page that has no block would be a bus error when it is written.
    if (const int failure = allocate(file.get(), static_cast<std::int64_t>(bytes))) throw SystemError(failure);
    Mapping made = Mapping::shared(file.get(), bytes);
    made.expect_requests();
    return made;
  } catch (const SystemError& error) {
    const std::string size = std::to_string(bytes);
    const std::optional<std::int64_t> free = free_bytes(folder);
    throw environment_problem(what + " of " + size + " bytes cannot be kept in " + folder + ": " + error.what() +
                                  (free ? ", " + std::to_string(*free) + " bytes are free" : "") + "; free " + size +
                                  " bytes or give another folder",
                              {{"bytes", static_cast<std::int64_t>(bytes)}});
  }
}

}  // namespace lowpeak::trainer
