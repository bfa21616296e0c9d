// An artifact on disk: a folder whose manifest lists every file with its size and hash.
//
// Nothing in the folder is trusted; but whoever may write into it while it is read can exchange a file after its hash
// was compared: keep it in a folder of your own.
#pragma once

#include <string>

#include "trainer/manifest.h"

namespace lowpeak::trainer {

// Checks names, presence and sizes; with `verify` hashes too, which reads every byte once.
//
// Throws ArtifactError naming the file that is missing, truncated, tampered with or outside the folder, in the
// words of lowpeak_artifact/artifact.py.
void check_bundle(const std::string& folder, const Manifest& manifest, bool verify);

// The same of one file, which the manifest has to list.
void check_file(const std::string& folder, const Manifest& manifest, const std::string& name, bool verify);

// The folder's manifest; `expected`: the sha256 that it must have, if one is. Throws ArtifactError.
Manifest read_manifest(const std::string& folder, const std::optional<std::string>& expected);

}  // namespace lowpeak::trainer
