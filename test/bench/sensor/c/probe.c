/*
 * probe: sends short bursts of raw frames, each at its own time, and says when.
 *
 *   probe INTERFACE < PLAN        a line of the plan: GAP_US FRAME... ; the frames in hex, one of them marked with @
 *
 * After the gap, measured from the burst before, all frames of the line are sent at once; the time is taken right
 * before the marked one is handed to the kernel: CLOCK_MONOTONIC in nanoseconds, a line for each line of the plan.
 * The whole plan is read and all output kept until the end, so that nothing else is done between two bursts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_FRAMES 8
#define MAX_BYTES 1514
#define MAX_BURSTS 20000

struct burst {
  uint64_t gap_ns, sent_ns;
  int frames, marked;
  size_t length[MAX_FRAMES];
  uint8_t *bytes[MAX_FRAMES];
};

static void die(const char *what) {
  fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void parse_frame(struct burst *burst, const char *text) {
  if (burst->frames == MAX_FRAMES) die("too many frames in a line");
  if (*text == '@') {
    burst->marked = burst->frames;
    text++;
  }
  size_t length = strlen(text) / 2;
  if (length < ETH_ZLEN || length > MAX_BYTES || strlen(text) % 2 != 0) die("a frame's length");
  uint8_t *bytes = malloc(length);
  if (bytes == NULL) die("malloc");
  for (size_t i = 0; i < length; i++)
    if (sscanf(text + 2 * i, "%2hhx", &bytes[i]) != 1) die("a frame's hex");
  burst->length[burst->frames] = length;
  burst->bytes[burst->frames++] = bytes;
}

int main(int argc, char **argv) {
  static struct burst bursts[MAX_BURSTS];
  int count = 0, fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (argc != 2 || fd < 0) die("usage: probe INTERFACE");
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[1])};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die(argv[1]);
  char *line = NULL;
  size_t capacity = 0;
  while (getline(&line, &capacity, stdin) > 0) {
    if (count == MAX_BURSTS) die("too many lines");
    struct burst *burst = &bursts[count++];
    char *word = strtok(line, " \n");
    if (word == NULL) die("an empty line");
    burst->gap_ns = strtoull(word, NULL, 10) * 1000;
    while ((word = strtok(NULL, " \n")) != NULL) parse_frame(burst, word);
  }
  uint64_t due = now_ns();
  for (int i = 0; i < count; i++) {
    due += bursts[i].gap_ns;
    struct timespec until = {(time_t)(due / 1000000000ull), (long)(due % 1000000000ull)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    for (int f = 0; f < bursts[i].frames; f++) {
      if (f == bursts[i].marked) bursts[i].sent_ns = now_ns();
      if (send(fd, bursts[i].bytes[f], bursts[i].length[f], 0) < 0) die("send");
    }
  }
  for (int i = 0; i < count; i++) printf("%llu\n", (unsigned long long)bursts[i].sent_ns);
  return 0;
}
