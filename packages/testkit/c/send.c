/*
 * send: test frames onto one interface, as fast as it takes them or at a rate.
 *
 * Each frame carries a sequence number and the time of its sending. Source ports vary over --flows. At a rate the
 * time is taken for each frame; unlimited, once for each batch. Ends with one line of JSON on stdout.
 */
#define _GNU_SOURCE
#include "wire.h"

#define BATCH 64
#define MAX_FRAME 9216
#define MIN_FRAME 60

static volatile sig_atomic_t stopped;

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

static const char USAGE[] =
    "send --interface NAME [--size BYTES|imix] [--count N] [--seconds S] [--rate PPS] [--flows N]\n"
    "     [--first SEQUENCE] [--source MAC] [--target MAC] [--qdisc-bypass]\n"
    "One of --count and --seconds is needed; --rate 0 (the default) is as fast as possible.";

static uint16_t ip_checksum(const uint8_t *header) {
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(header[i] << 8 | header[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static void parse_mac(const char *text, uint8_t *mac) {
  unsigned byte[6];
  if (sscanf(text, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5]) != 6) usage(USAGE);
  for (int i = 0; i < 6; i++) mac[i] = (uint8_t)byte[i];
}

/* Headers of a frame of this size: 198.18.0.1 to 198.18.0.2 (RFC 2544), UDP to the discard port, no UDP checksum. */
static void fill(uint8_t *frame, int size, const uint8_t *source, const uint8_t *target) {
  memset(frame, 0, (size_t)size);
  memcpy(frame, target, 6);
  memcpy(frame + 6, source, 6);
  frame[12] = 0x08;
  uint8_t *ip = frame + 14;
  int ip_length = size - 14, udp_length = size - 34;
  const uint8_t header[20] = {0x45, 0, (uint8_t)(ip_length >> 8), (uint8_t)ip_length, 0, 0, 0x40, 0, 64, 17,
                              0,    0, 198, 18, 0, 1, 198, 18, 0, 2};
  memcpy(ip, header, sizeof header);
  uint16_t sum = ip_checksum(ip);
  ip[10] = (uint8_t)(sum >> 8);
  ip[11] = (uint8_t)sum;
  uint8_t *udp = frame + 34;
  udp[3] = 9;
  udp[4] = (uint8_t)(udp_length >> 8);
  udp[5] = (uint8_t)udp_length;
  for (int i = MARK_OFFSET + (int)sizeof(struct mark); i < size; i++) frame[i] = (uint8_t)i;
}

static void stamp(uint8_t *frame, uint64_t sequence, uint64_t now, uint32_t flows) {
  uint16_t port = (uint16_t)(10000 + sequence % flows);
  frame[34] = (uint8_t)(port >> 8);
  frame[35] = (uint8_t)port;
  struct mark mark = {htons(MARK_MAGIC), htobe64(sequence), htobe64(now)};
  memcpy(frame + MARK_OFFSET, &mark, sizeof mark);
}

int main(int argc, char **argv) {
  const char *interface = option(argc, argv, "--interface", NULL);
  const char *size_text = option(argc, argv, "--size", "60");
  double count = number(argc, argv, "--count", 0), seconds = number(argc, argv, "--seconds", 0);
  double rate = number(argc, argv, "--rate", 0);
  uint32_t flows = (uint32_t)number(argc, argv, "--flows", 64);
  uint64_t first = (uint64_t)number(argc, argv, "--first", 0);
  if (interface == NULL || (count == 0 && seconds == 0) || flows == 0 || flows > 50000) usage(USAGE);
  uint8_t source[6], target[6];
  parse_mac(option(argc, argv, "--source", "02:bd:00:00:00:01"), source);
  parse_mac(option(argc, argv, "--target", "02:bd:00:00:00:02"), target);

  /* Simple IMIX: 7 small, 4 medium, 1 large in every 12, spread over the batch. */
  static const int IMIX[12] = {60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60};
  int imix = strcmp(size_text, "imix") == 0;
  int fixed = imix ? 0 : atoi(size_text);
  if (!imix && (fixed < MIN_FRAME || fixed > MAX_FRAME)) usage("--size must be imix or 60 to 9216");

  int fd = packet_socket(0);
  int index = interface_index(interface);
  int one = 1, buffer = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  if (has_flag(argc, argv, "--qdisc-bypass") &&
      setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0)
    die("PACKET_QDISC_BYPASS");
  bind_packet(fd, index, 0);

  /* For IMIX the ring is a multiple of 12, so that each slot keeps its size and headers are written once. */
  int slots = imix ? 60 : BATCH;
  uint8_t *frames = calloc((size_t)slots, MAX_FRAME);
  struct iovec vectors[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < slots; i++) {
    int size = imix ? IMIX[i % 12] : fixed;
    fill(frames + i * MAX_FRAME, size, source, target);
    vectors[i] = (struct iovec){frames + i * MAX_FRAME, (size_t)size};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
  }

  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  uint64_t sent = 0, bytes = 0, refused = 0, limit = count > 0 ? (uint64_t)count : UINT64_MAX;
  /* At a rate: bursts of at most 1 ms, so that small buffers on the way are not overrun by the pacing itself. */
  int burst = rate > 0 ? (int)(rate / 1000) : slots;
  if (burst < 1) burst = 1;
  if (burst > slots) burst = slots;
  uint64_t begin = clock_ns(CLOCK_MONOTONIC);
  uint64_t end = seconds > 0 ? begin + (uint64_t)(seconds * 1e9) : UINT64_MAX;
  uint64_t now = begin;
  while (!stopped && sent < limit && now < end) {
    if (rate > 0) {
      uint64_t due = begin + (uint64_t)((double)sent / rate * 1e9);
      if (due > now) {
        struct timespec until = {(time_t)(due / 1000000000ull), (long)(due % 1000000000ull)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
      }
    }
    int slot = (int)(sent % (uint64_t)slots);
    int batch = burst < slots - slot ? burst : slots - slot;
    if ((uint64_t)batch > limit - sent) batch = (int)(limit - sent);
    uint64_t wall = clock_ns(CLOCK_REALTIME);
    for (int i = 0; i < batch; i++) {
      if (rate > 0 && i > 0) wall = clock_ns(CLOCK_REALTIME);
      stamp(vectors[slot + i].iov_base, first + sent + (uint64_t)i, wall, flows);
    }
    int taken = sendmmsg(fd, messages + slot, (unsigned)batch, 0);
    if (taken < 0) {
      /* A full queue: not sent, so the same sequence numbers are tried again. */
      if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) die("sendmmsg");
      refused++;
      taken = 0;
    }
    for (int i = 0; i < taken; i++) bytes += vectors[slot + i].iov_len;
    sent += (uint64_t)taken;
    now = clock_ns(CLOCK_MONOTONIC);
  }
  double took = (double)(clock_ns(CLOCK_MONOTONIC) - begin) / 1e9;
  printf("{\"sent\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"pps\":%.1f,\"first\":%llu,\"refused\":%llu}\n",
         (unsigned long long)sent, (unsigned long long)bytes, took, took > 0 ? (double)sent / took : 0,
         (unsigned long long)first, (unsigned long long)refused);
  return 0;
}
