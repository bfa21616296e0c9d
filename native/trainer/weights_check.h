// The table of weights.ptd, ExecuTorch's flat-tensor format, before the runtime is given it, which believes it.
//
//     u32 offset of the table, "FT01", "FH01", u32 bytes of this header, u64 each: where the header ends, bytes of the
//     table, where the tensors begin, bytes of the tensors
#pragma once

#include <string>
#include <vector>

#include "trainer/files.h"
#include "trainer/manifest.h"

namespace lowpeak::trainer {

// Throws ArtifactError naming the file unless its table lists exactly the tensors that the manifest does, each where
// the manifest has it, in bytes of its own.
void check_weights(const std::string& path, const Mapping& file, const std::vector<WeightRecord>& expected);

}  // namespace lowpeak::trainer
