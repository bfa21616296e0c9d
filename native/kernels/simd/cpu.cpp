#include "kernels/simd/cpu.h"

#include <cstdint>

#if defined(LOWPEAK_HAVE_X86)
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace lowpeak {
namespace {

#if defined(LOWPEAK_HAVE_X86)

struct CpuidResult {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidResult cpuid(uint32_t leaf) {
  CpuidResult r;
#if defined(_MSC_VER)
  int registers[4];
  __cpuid(registers, 0);
  if (static_cast<uint32_t>(registers[0]) < leaf) return r;
  __cpuidex(registers, static_cast<int>(leaf), 0);
  r = {static_cast<uint32_t>(registers[0]), static_cast<uint32_t>(registers[1]), static_cast<uint32_t>(registers[2]),
       static_cast<uint32_t>(registers[3])};
#else
  __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
  return r;
}

uint64_t enabled_register_states() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

// Whether the operating system saves these parts of the registers, too: bits 1 and 2 for AVX, 5 to 7 for AVX-512.
bool saves_registers(uint64_t states) { return (enabled_register_states() & states) == states; }

bool detect_avx2() {
  constexpr uint32_t kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
  constexpr uint32_t kWanted = kFma | kOsxsave | kAvx | kF16c;
  if ((cpuid(1).ecx & kWanted) != kWanted) return false;
  constexpr uint32_t kAvx2 = 1u << 5;
  return saves_registers(0x6) && (cpuid(7).ebx & kAvx2) != 0;
}

bool detect_avx512() {
  constexpr uint32_t kFoundation = 1u << 16, kDoublewords = 1u << 17, kWanted = kFoundation | kDoublewords;
  return detect_avx2() && saves_registers(0xe6) && (cpuid(7).ebx & kWanted) == kWanted;
}

bool detect_vnni() {
  constexpr uint32_t kVnni = 1u << 11;
  return detect_avx512() && (cpuid(7).ecx & kVnni) != 0;
}

#else

bool detect_avx2() { return false; }
bool detect_avx512() { return false; }
bool detect_vnni() { return false; }

#endif

}  // namespace

bool has_isa(Isa isa) {
  switch (isa) {
    case Isa::generic: return true;
    case Isa::avx2: {
      static const bool kFound = detect_avx2();
      return kFound;
    }
    case Isa::avx512: {
      static const bool kFound = detect_avx512();
      return kFound;
    }
    case Isa::neon:
#if defined(LOWPEAK_HAVE_NEON)
      return true;  // a part of every aarch64
#else
      return false;
#endif
  }
  return false;
}

bool has_vnni() {
  static const bool kFound = detect_vnni();
  return kFound;
}

Isa best_isa() {
  if (has_isa(Isa::avx512)) return Isa::avx512;
  if (has_isa(Isa::avx2)) return Isa::avx2;
  if (has_isa(Isa::neon)) return Isa::neon;
  return Isa::generic;
}

}  // namespace lowpeak
