/* Preloaded into a program: reads runs from stdin, and makes each in a fork of the program as it is before main().

   A run is a line, its parts behind 0x1F: seconds, the files that stdout and stderr go to, then the arguments. The
   answer is a line: the status as of waitpid, the most kilobytes held, milliseconds. A run that takes longer than its
   seconds is killed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kMostArguments = 32 };

typedef int (*Main)(int, char**, char**);

static Main real_main;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void redirect(const char* path, int fd) {
  const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) _exit(99);
  dup2(file, fd);
  close(file);
}

static void run(char** parts, int count, char* program, char** environment) {
  const double limit = atof(parts[0]), started = now();
  const pid_t child = fork();
  if (child == 0) {
    const struct rlimit none = {0, 0}, file = {1 << 28, 1 << 28};
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &file);
    const int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, 0);
    redirect(parts[1], 1);
    redirect(parts[2], 2);
    parts[2] = program;
    exit(real_main(count - 2, parts + 2, environment));
  }
  int status = 0;
  struct rusage used;
  memset(&used, 0, sizeof used);
  while (wait4(child, &status, WNOHANG, &used) == 0) {
    if (now() - started > limit) kill(child, SIGKILL);
    const struct timespec pause = {0, 500000};
    nanosleep(&pause, NULL);
  }
  printf("%d %ld %.0f\n", status, used.ru_maxrss, (now() - started) * 1e3);
  fflush(stdout);
}

static int serve(int count, char** values, char** environment) {
  (void)count;
  char* line = NULL;
  size_t room = 0;
  ssize_t size;
  while ((size = getline(&line, &room, stdin)) > 0) {
    line[size - 1] = '\0';
    char* parts[kMostArguments + 1];
    int found = 0;
    for (char* rest = line; rest != NULL && found < kMostArguments;) parts[found++] = strsep(&rest, "\x1f");
    parts[found] = NULL;
    if (found < 3) return 1;
    run(parts, found, values[0], environment);
  }
  return 0;
}

int __libc_start_main(Main main, int count, char** values, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void* stack_end) {
  typedef int (*Start)(Main, int, char**, void (*)(void), void (*)(void), void (*)(void), void*);
  real_main = main;
  const Start start = (Start)dlsym(RTLD_NEXT, "__libc_start_main");
  return start(serve, count, values, init, fini, rtld_fini, stack_end);
}
