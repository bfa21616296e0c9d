/* A machine with processors 0 to 7, 1000 and 1001, for a program that has it preloaded. */
#define _GNU_SOURCE
#include <sched.h>

int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set) {
  (void)pid;
  CPU_ZERO_S(bytes, set);
  for (int number = 0; number < 8; ++number) CPU_SET_S(number, bytes, set);
  CPU_SET_S(1000, bytes, set);
  CPU_SET_S(1001, bytes, set);
  return 0;
}
