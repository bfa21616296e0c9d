#include "trainer/program_check.h"

#include <cstring>

#include "trainer/error.h"
#include "trainer/plan_check.h"

namespace lowpeak::trainer {
namespace {

constexpr char kTable[] = "ET12", kHeader[] = "eh00";
constexpr std::size_t kHeaderPlace = 8, kHeaderBytes = 32;
constexpr char kNames[] = "__et_training_fqn_forward";

// Fields by their number, of schema/program.fbs.
namespace field {
constexpr int kPlans = 1, kDelegateData = 3, kSegments = 4, kConstants = 5, kMutable = 6, kNamedData = 7;
constexpr int kSegment = 0, kOffsets = 1;  // of constants and mutable data
constexpr int kOffset = 0, kSize = 1;      // of a segment
}  // namespace field

struct Header {
  std::uint64_t table_bytes, begin, bytes;
};

// "ET12" and "eh00", each after four bytes, then how large the table is, and where the segments are.
Header header_of(const Mapping& file) {
  if (file.size() < kHeaderPlace + kHeaderBytes) throw DamagedBuffer("it is too short");
  // A program without constants has no segments, and no header.
  if (std::memcmp(file.data() + kHeaderPlace, kHeader, 4) != 0) return {file.size(), 0, 0};
  std::uint32_t length;
  std::memcpy(&length, file.data() + kHeaderPlace + 4, sizeof length);
  Header header;
  std::memcpy(&header, file.data() + kHeaderPlace + 8, sizeof header);
  const std::uint64_t size = file.size();
  const std::uint64_t table_end = header.begin == 0 ? size : header.begin;
  if (length != kHeaderBytes || header.begin > size || header.table_bytes > table_end ||
      (header.begin > 0 && header.bytes > size - header.begin) || (header.begin == 0 && header.bytes > 0)) {
    throw DamagedBuffer("its header is of other sizes than the file");
  }
  return header;
}

// The data in segments after the table: places of each index, and where the segment ends.
Stored stored(const FlatTable& offsets, const FlatTables& segments, const Header& header) {
  Stored made;
  if (!offsets.exists()) return made;
  const auto places = offsets.numbers<std::uint64_t>(field::kOffsets);
  if (places.empty()) return made;
  const std::uint32_t index = offsets.number<std::uint32_t>(field::kSegment);
  // Index 0 stands for none, so a list of one needs no segment.
  if (index >= segments.size()) {
    if (places.size() > 1) throw DamagedBuffer("its constants lie in no segment");
    return made;
  }
  const FlatTable segment = segments[index];
  const auto offset = segment.number<std::uint64_t>(field::kOffset),
             bytes = segment.number<std::uint64_t>(field::kSize);
  if (offset > header.bytes || bytes > header.bytes - offset) {
    throw DamagedBuffer("its segment " + std::to_string(index) + " ends outside of the file");
  }
  made.end = bytes;
  for (std::size_t i = 0; i < places.size(); ++i) {
    made.offsets.push_back(places[i]);
    if (places[i] > bytes || places[i] % kConstantAlignment != 0) {
      throw DamagedBuffer("its constant " + std::to_string(i) + " lies outside of its segment");
    }
  }
  return made;
}

void check(const Mapping& file, const std::vector<MethodRecord>& methods, const std::vector<TensorRecord>& parameters,
           const std::vector<WeightRecord>& weights) {
  const Header header = header_of(file);
  const FlatBuffer buffer(file.data(), static_cast<std::size_t>(header.table_bytes), kTable);
  const FlatTable program = buffer.root();
  if (!program.tables(field::kDelegateData).empty() || !program.tables(field::kNamedData).empty()) {
    throw DamagedBuffer("it has parts for other machines than this");
  }
  const FlatTables segments = program.tables(field::kSegments), changed = program.tables(field::kMutable);
  ProgramData data;
  data.constants = stored(program.table(field::kConstants), segments, header);
  if (changed.size() > 1) throw DamagedBuffer("it has first values in several places");
  if (!changed.empty()) data.initial = stored(changed[0], segments, header);
  for (const WeightRecord& each : weights) data.weights.emplace(each.tensor.name, &each.tensor);

  std::map<std::string_view, const MethodRecord*> left;
  for (const MethodRecord& each : methods) left.emplace(each.name, &each);
  const FlatTables plans = program.tables(field::kPlans);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const FlatTable plan = plans[i];
    const std::string_view name = plan.text(kPlanName);
    if (const auto found = left.find(name); found != left.end()) {
      check_plan(plan, *found->second, data);
      left.erase(found);
    } else if (name == kNames) {
      check_names(plan, parameters);
    }
  }
  if (!left.empty()) throw DamagedBuffer("it has no method " + std::string(left.begin()->first) + ", or has it twice");
}

}  // namespace

void check_program(const std::string& path, const Mapping& file, const std::vector<MethodRecord>& methods,
                   const std::vector<TensorRecord>& parameters, const std::vector<WeightRecord>& weights) {
  try {
    check(file, methods, parameters, weights);
  } catch (const DamagedBuffer& error) {
    throw artifact_error(path + " is damaged or no program of lowpeak's: " + error.what() +
                         "; copy or compile it again");
  }
}

}  // namespace lowpeak::trainer
