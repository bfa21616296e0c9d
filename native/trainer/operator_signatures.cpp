#include "trainer/operator_signatures.h"

#include <unordered_map>

namespace lowpeak::trainer {
namespace {

struct Signature {
  const char* name;
  const char* letters;
};

constexpr Signature kSignatures[] = {
#include "trainer/operator_signatures.inc"
};

constexpr std::string_view kNamespaces[] = {"aten",    "dim_order_ops", "et",    "executorch_prim",      "llama",
                                            "lowpeak", "prim",          "prims", "quantized_decomposed", "torchao"};

}  // namespace

const char* signature_of(const std::string& operator_name) {
  static const auto kAll = [] {
    std::unordered_map<std::string, const char*> made;
    for (const Signature& each : kSignatures) made.emplace(each.name, each.letters);
    return made;
  }();
  const auto found = kAll.find(operator_name);
  return found == kAll.end() ? nullptr : found->second;
}

bool is_known_namespace(std::string_view operator_name) {
  for (const std::string_view known : kNamespaces) {
    if (operator_name.substr(0, known.size()) == known && operator_name.substr(known.size(), 2) == "::") return true;
  }
  return false;
}

}  // namespace lowpeak::trainer
