/*
 * frames: raw frames exactly as written, for tests of fidelity.
 *
 *   frames send --interface NAME [--gap-us N] < HEX    each line of hex is one frame; empty lines and # are skipped
 *   frames receive --interface NAME [--count N] [--seconds S] [--idle MS]    writes each frame as a line of hex
 *
 * A VLAN tag that the kernel has moved into metadata is put back where it was (PACKET_AUXDATA, packet(7)).
 * The receiver prints "ready" on stderr once it listens, and "drops N" at the end.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <poll.h>

#define MAX_FRAME 65600

static volatile sig_atomic_t stopped;

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

static int send_frames(int argc, char **argv, const char *interface) {
  int fd = packet_socket(0);
  bind_packet(fd, interface_index(interface), 0);
  useconds_t gap = (useconds_t)number(argc, argv, "--gap-us", 0);
  char *line = NULL;
  size_t capacity = 0;
  ssize_t length;
  static uint8_t frame[MAX_FRAME];
  unsigned row = 0, sent = 0;
  while ((length = getline(&line, &capacity, stdin)) > 0) {
    row++;
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == ' ')) length--;
    if (length == 0 || line[0] == '#') continue;
    size_t size = (size_t)length / 2;
    if (length % 2 != 0 || size > MAX_FRAME) {
      fprintf(stderr, "line %u: not a frame in hex\n", row);
      return 1;
    }
    for (size_t i = 0; i < size; i++) {
      int high = hex_digit(line[2 * i]), low = hex_digit(line[2 * i + 1]);
      if (high < 0 || low < 0) {
        fprintf(stderr, "line %u: not a frame in hex\n", row);
        return 1;
      }
      frame[i] = (uint8_t)(high << 4 | low);
    }
    if (send(fd, frame, size, 0) != (ssize_t)size) {
      fprintf(stderr, "line %u: %zu bytes: %s\n", row, size, strerror(errno));
      return 1;
    }
    sent++;
    if (gap > 0) usleep(gap);
  }
  printf("{\"sent\":%u}\n", sent);
  return 0;
}

static void print_hex(const uint8_t *bytes, size_t count) {
  static const char DIGITS[] = "0123456789abcdef";
  for (size_t i = 0; i < count; i++) {
    putchar(DIGITS[bytes[i] >> 4]);
    putchar(DIGITS[bytes[i] & 15]);
  }
}

/* The tag as it was on the wire, or 0 bytes if the frame had none in metadata. */
static size_t stripped_tag(struct msghdr *message, uint8_t *tag) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA) continue;
    struct tpacket_auxdata aux;
    memcpy(&aux, CMSG_DATA(part), sizeof aux);
    if (!(aux.tp_status & TP_STATUS_VLAN_VALID)) return 0;
    uint16_t tpid = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q;
    tag[0] = (uint8_t)(tpid >> 8);
    tag[1] = (uint8_t)tpid;
    tag[2] = (uint8_t)(aux.tp_vlan_tci >> 8);
    tag[3] = (uint8_t)aux.tp_vlan_tci;
    return 4;
  }
  return 0;
}

static int receive_frames(int argc, char **argv, const char *interface) {
  double count = number(argc, argv, "--count", 0), seconds = number(argc, argv, "--seconds", 0);
  double idle = number(argc, argv, "--idle", 0);
  int fd = packet_socket(0), index = interface_index(interface), one = 1, buffer = 64 << 20;
  if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) < 0) die("PACKET_AUXDATA");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  listen_to_all(fd, index);
  bind_packet(fd, index, ETH_P_ALL);
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  fprintf(stderr, "ready\n");
  static uint8_t frame[MAX_FRAME];
  uint64_t begin = clock_ns(CLOCK_MONOTONIC), latest = 0;
  double received = 0;
  struct pollfd polled = {.fd = fd, .events = POLLIN};
  for (;;) {
    uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))], tag[4];
    struct iovec vector = {frame, sizeof frame};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (length >= 0) {
      size_t tag_bytes = stripped_tag(&message, tag), head = length < 12 ? (size_t)length : 12;
      print_hex(frame, head);
      print_hex(tag, tag_bytes);
      print_hex(frame + head, (size_t)length - head);
      putchar('\n');
      latest = now;
      received++;
    } else if (errno != EAGAIN && errno != EINTR) {
      die("recvmsg");
    }
    if (count > 0 && received >= count) break;
    if (seconds > 0 && (double)(now - begin) / 1e9 >= seconds) break;
    if (idle > 0 && latest > 0 && (double)(now - latest) / 1e6 >= idle) break;
    if (length < 0) {
      if (stopped) break; /* only once nothing is left to read */
      poll(&polled, 1, 20);
    }
  }
  struct tpacket_stats statistics = {0};
  socklen_t size = sizeof statistics;
  getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size);
  fflush(stdout);
  fprintf(stderr, "drops %u\n", statistics.tp_drops);
  return 0;
}

int main(int argc, char **argv) {
  const char *interface = option(argc, argv, "--interface", NULL);
  if (argc > 1 && interface != NULL && strcmp(argv[1], "send") == 0) return send_frames(argc, argv, interface);
  if (argc > 1 && interface != NULL && strcmp(argv[1], "receive") == 0) return receive_frames(argc, argv, interface);
  usage("frames send|receive --interface NAME");
}
