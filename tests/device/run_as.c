// Stands in for Android's run-as: starts a program as the user of a debuggable app, in its data folder.
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { APP_USER = 10123 };

static void require(const char* folder, const char* package, const char* file, const char* otherwise) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s%s", folder, package, file);
  if (access(path, F_OK) != 0) {
    fprintf(stderr, "run-as: %s: %s\n", otherwise, package);
    exit(1);
  }
}

int main(int count, char** words) {
  if (count < 3) return 1;
  char home[256];
  snprintf(home, sizeof home, "/data/data/%s", words[1]);
  require("/stand-ins/packages", words[1], "", "unknown package");
  require("/stand-ins/packages", words[1], "/debuggable", "package not debuggable");
  if (setgroups(0, NULL) || setgid(APP_USER) || setuid(APP_USER) || chdir(home)) {
    perror("run-as");
    return 1;
  }
  execvp(words[2], words + 2);
  perror("run-as");
  return 127;
}
