#include "tokenizer/post_processor.h"

#include "tokenizer/config.h"

namespace lowpeak::tokenizer {
namespace {

constexpr std::size_t kMostAdded = 1000;

}  // namespace

PostProcessor::PostProcessor(const trainer::JsonReader& json) {
  bool has_template = false;
  for (const trainer::JsonReader& each : members_of(json, "processors")) {
    const std::string type = each.at("type").text();
    if (type == "ByteLevel") {
      require_known(each, type, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
      if (has_template) throw unsupported("the post-processor ByteLevel after a template");
      trims_ = trims_ || each.at("trim_offsets").boolean();
      keeps_first_space_ = each.at("add_prefix_space").boolean();
    } else if (type == "TemplateProcessing") {
      require_known(each, type, {"type", "single", "pair", "special_tokens"});
      if (has_template) throw unsupported("two templates around a text");
      has_template = true;
      read_template(each);
    } else {
      throw unsupported("the post-processor " + type);
    }
  }
}

void PostProcessor::read_template(const trainer::JsonReader& json) {
  bool seen = false;
  for (const trainer::JsonReader& part : json.at("single").items()) {
    if (part.has("Sequence")) {
      if (seen || part.at("Sequence").at("id").text() != "A") throw unsupported("a template that has the text twice");
      seen = true;
      continue;
    }
    const std::string name = part.at("SpecialToken").at("id").text();
    for (const std::int64_t id : json.at("special_tokens").at(name).at("ids").integers()) {
      if (id < 0 || id > INT32_MAX) throw unsupported("a template with the id " + std::to_string(id));
      (seen ? behind_ : before_).push_back(static_cast<std::int32_t>(id));
    }
    if (before_.size() + behind_.size() > kMostAdded) {
      throw unsupported("a template of more than " + std::to_string(kMostAdded) + " tokens");
    }
  }
  if (!seen) throw unsupported("a template without the text");
}

}  // namespace lowpeak::tokenizer
