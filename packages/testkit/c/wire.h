/*
 * What the three tools share: options, sockets of one interface, clocks, and the mark in a test frame's payload.
 * A test frame is Ethernet + IPv4 + UDP; its payload begins with the mark below (18 bytes, so it fits into 60).
 */
#ifndef WIRE_H
#define WIRE_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define MARK_OFFSET 42
#define MARK_MAGIC 0x4248 /* "BH" */

struct mark {
  uint16_t magic;
  uint64_t sequence;
  uint64_t sent_ns; /* CLOCK_REALTIME */
} __attribute__((packed));

static inline void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline void usage(const char *text) {
  fprintf(stderr, "%s\n", text);
  exit(2);
}

/* The value of "--name value", or the fallback. */
static inline const char *option(int argc, char **argv, const char *name, const char *fallback) {
  for (int i = 1; i + 1 < argc; i++)
    if (strcmp(argv[i], name) == 0) return argv[i + 1];
  return fallback;
}

static inline int has_flag(int argc, char **argv, const char *name) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], name) == 0) return 1;
  return 0;
}

static inline double number(int argc, char **argv, const char *name, double fallback) {
  const char *text = option(argc, argv, name, NULL);
  if (text == NULL) return fallback;
  char *end;
  double value = strtod(text, &end);
  if (*end != '\0' || value < 0) {
    fprintf(stderr, "%s: %s is not a number\n", name, text);
    exit(2);
  }
  return value;
}

static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* An unbound raw packet socket: `protocol` 0 receives nothing until it is bound. */
static inline int packet_socket(int protocol) {
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol));
  if (fd < 0) die("socket(AF_PACKET)");
  return fd;
}

static inline int interface_index(const char *name) {
  unsigned index = if_nametoindex(name);
  if (index == 0) die(name);
  return (int)index;
}

static inline void bind_packet(int fd, int index, int protocol) {
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = index};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
}

/* Everything that arrives, whoever it is for, and nothing that leaves. */
static inline void listen_to_all(int fd, int index) {
  struct packet_mreq member = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &member, sizeof member) < 0) die("promiscuous");
  int one = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) < 0) die("PACKET_IGNORE_OUTGOING");
}

#endif
