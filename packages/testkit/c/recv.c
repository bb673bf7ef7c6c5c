/*
 * recv: counts test frames on one or several interfaces, without copying more of them than their mark.
 *
 * For each interface: what came, what by the sequence numbers is missing, came twice or late, how long frames took
 * (send mark to the kernel's receive time), and what the kernel dropped for want of room in this tool's ring
 * (PACKET_STATISTICS). Prints "ready" on stderr once it listens, and one line of JSON on stdout at the end:
 * SIGTERM, --seconds, --count frames on each interface, or --idle milliseconds without a frame after the first.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <poll.h>
#include <sys/mman.h>

#define MAX_INTERFACES 16
#define BLOCK_BYTES (1 << 20)
#define BLOCK_TIMEOUT_MS 5
#define SNAP 64 /* mark and headers; the length is the frame's own */

/* Latencies by powers of two with 16 steps each: a relative error of at most 6 %. */
#define STEPS 16
#define BUCKETS (64 * STEPS)

struct counter {
  const char *name;
  int fd;
  uint8_t *ring;
  unsigned block;
  uint64_t received, bytes, foreign, unique, duplicates, out_of_order, drops;
  uint64_t lowest, highest;
  uint8_t *seen; /* a bit for each sequence number from 0 */
  uint64_t seen_bits;
  uint64_t first_ns, last_ns, latency_max, latency[BUCKETS];
};

static volatile sig_atomic_t stopped;

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

static unsigned bucket_of(uint64_t ns) {
  if (ns < STEPS) return (unsigned)ns;
  unsigned power = 63 - (unsigned)__builtin_clzll(ns);
  return (power - 3) * STEPS + (unsigned)((ns >> (power - 4)) & (STEPS - 1));
}

static uint64_t bucket_value(unsigned bucket) {
  if (bucket < STEPS) return bucket;
  unsigned power = bucket / STEPS + 3;
  return (uint64_t)(STEPS + bucket % STEPS) << (power - 4);
}

static uint64_t percentile(const struct counter *counter, double share) {
  uint64_t total = 0, below = 0;
  for (int i = 0; i < BUCKETS; i++) total += counter->latency[i];
  for (int i = 0; i < BUCKETS; i++) {
    below += counter->latency[i];
    if (total > 0 && (double)below >= share * (double)total) return bucket_value((unsigned)i);
  }
  return 0;
}

/* True if the sequence number was seen before. */
static int note(struct counter *counter, uint64_t sequence) {
  if (sequence >= counter->seen_bits) {
    uint64_t bits = counter->seen_bits ? counter->seen_bits : 1 << 23;
    while (bits <= sequence) bits *= 2;
    if (bits > 1ull << 35) return 0; /* 4 GiB of bits: not one of our sequence numbers */
    counter->seen = realloc(counter->seen, bits / 8);
    if (counter->seen == NULL) die("realloc");
    memset(counter->seen + counter->seen_bits / 8, 0, (bits - counter->seen_bits) / 8);
    counter->seen_bits = bits;
  }
  uint8_t bit = (uint8_t)(1 << (sequence & 7));
  int before = counter->seen[sequence >> 3] & bit;
  counter->seen[sequence >> 3] |= bit;
  return before != 0;
}

static void take(struct counter *counter, const struct tpacket3_hdr *header) {
  counter->received++;
  counter->bytes += header->tp_len;
  uint64_t now = (uint64_t)header->tp_sec * 1000000000ull + header->tp_nsec;
  if (counter->first_ns == 0) counter->first_ns = now;
  counter->last_ns = now;
  struct mark mark;
  if (header->tp_snaplen < MARK_OFFSET + sizeof mark) {
    counter->foreign++;
    return;
  }
  memcpy(&mark, (const uint8_t *)header + header->tp_mac + MARK_OFFSET, sizeof mark);
  if (mark.magic != htons(MARK_MAGIC)) {
    counter->foreign++;
    return;
  }
  uint64_t sequence = be64toh(mark.sequence), sent = be64toh(mark.sent_ns);
  if (note(counter, sequence)) {
    counter->duplicates++;
    return;
  }
  if (counter->unique == 0 || sequence < counter->lowest) counter->lowest = sequence;
  if (counter->unique > 0 && sequence < counter->highest) counter->out_of_order++;
  else counter->highest = sequence;
  counter->unique++;
  uint64_t took = now > sent ? now - sent : 0;
  if (took > counter->latency_max) counter->latency_max = took;
  counter->latency[bucket_of(took)]++;
}

/* Reads all blocks that the kernel has handed over; returns the number of frames. */
static uint64_t drain(struct counter *counter, unsigned blocks) {
  uint64_t before = counter->received;
  for (;;) {
    struct tpacket_block_desc *block =
        (struct tpacket_block_desc *)(counter->ring + (size_t)counter->block * BLOCK_BYTES);
    if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) break;
    const uint8_t *at = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
    for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; i++) {
      const struct tpacket3_hdr *header = (const struct tpacket3_hdr *)at;
      take(counter, header);
      at += header->tp_next_offset;
    }
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    counter->block = (counter->block + 1) % blocks;
  }
  return counter->received - before;
}

static void open_interface(struct counter *counter, unsigned blocks) {
  int fd = counter->fd = packet_socket(0);
  int version = TPACKET_V3, index = interface_index(counter->name);
  if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0) die("PACKET_VERSION");
  struct sock_filter snap[] = {BPF_STMT(BPF_RET | BPF_K, SNAP)};
  struct sock_fprog program = {1, snap};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) die("SO_ATTACH_FILTER");
  struct tpacket_req3 request = {.tp_block_size = BLOCK_BYTES,
                                 .tp_block_nr = blocks,
                                 .tp_frame_size = 2048,
                                 .tp_frame_nr = blocks * (BLOCK_BYTES / 2048),
                                 .tp_retire_blk_tov = BLOCK_TIMEOUT_MS};
  if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) < 0) die("PACKET_RX_RING");
  counter->ring = mmap(NULL, (size_t)blocks * BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (counter->ring == MAP_FAILED) die("mmap");
  listen_to_all(fd, index);
  bind_packet(fd, index, ETH_P_ALL);
}

static void print(struct counter *counter, double expected, int more) {
  struct tpacket_stats_v3 statistics = {0};
  socklen_t length = sizeof statistics;
  if (getsockopt(counter->fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) == 0)
    counter->drops += statistics.tp_drops;
  uint64_t span = counter->unique ? counter->highest - counter->lowest + 1 : 0;
  if (expected > 0 && (uint64_t)expected > span) span = (uint64_t)expected;
  printf("{\"interface\":\"%s\",\"received\":%llu,\"bytes\":%llu,\"unique\":%llu,\"foreign\":%llu,"
         "\"outOfOrder\":%llu,\"duplicates\":%llu,\"lost\":%llu,\"drops\":%llu,\"firstSequence\":%llu,"
         "\"lastSequence\":%llu,\"seconds\":%.6f,\"latencyNs\":{\"p50\":%llu,\"p99\":%llu,\"max\":%llu}}%s",
         counter->name, (unsigned long long)counter->received, (unsigned long long)counter->bytes,
         (unsigned long long)counter->unique, (unsigned long long)counter->foreign,
         (unsigned long long)counter->out_of_order, (unsigned long long)counter->duplicates,
         (unsigned long long)(span - counter->unique), (unsigned long long)counter->drops,
         (unsigned long long)counter->lowest, (unsigned long long)counter->highest,
         (double)(counter->last_ns - counter->first_ns) / 1e9, (unsigned long long)percentile(counter, 0.5),
         (unsigned long long)percentile(counter, 0.99), (unsigned long long)counter->latency_max, more ? "," : "");
}

int main(int argc, char **argv) {
  static struct counter counters[MAX_INTERFACES];
  struct pollfd polled[MAX_INTERFACES];
  int interfaces = 0;
  double seconds = number(argc, argv, "--seconds", 0), count = number(argc, argv, "--count", 0);
  double idle = number(argc, argv, "--idle", 0), expected = number(argc, argv, "--expect", 0);
  unsigned blocks = (unsigned)number(argc, argv, "--ring-mib", 16);
  const char *list = option(argc, argv, "--interfaces", NULL);
  if (list == NULL || blocks < 1)
    usage("recv --interfaces NAME[,NAME...] [--seconds S] [--count N] [--idle MS] [--expect N] [--ring-mib N]");
  char *names = strdup(list);
  for (char *name = strtok(names, ","); name != NULL; name = strtok(NULL, ",")) {
    if (interfaces == MAX_INTERFACES) usage("at most 16 interfaces");
    counters[interfaces].name = name;
    open_interface(&counters[interfaces], blocks);
    polled[interfaces] = (struct pollfd){.fd = counters[interfaces].fd, .events = POLLIN};
    interfaces++;
  }
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  fprintf(stderr, "ready\n");

  uint64_t begin = clock_ns(CLOCK_MONOTONIC), latest = 0;
  for (int done = 0; !done;) {
    /* After a signal one more turn, a ring timeout later, takes what was still in unfinished blocks. */
    done = stopped;
    if (done) usleep(BLOCK_TIMEOUT_MS * 4 * 1000);
    else poll(polled, (nfds_t)interfaces, 20);
    uint64_t frames = 0;
    int complete = count > 0;
    for (int i = 0; i < interfaces; i++) {
      frames += drain(&counters[i], blocks);
      if ((double)counters[i].unique < count) complete = 0;
    }
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (frames > 0) latest = now;
    if (seconds > 0 && (double)(now - begin) / 1e9 >= seconds) stopped = 1;
    if (idle > 0 && latest > 0 && (double)(now - latest) / 1e6 >= idle) stopped = 1;
    if (complete) stopped = 1;
  }
  printf("{\"interfaces\":[");
  for (int i = 0; i < interfaces; i++) print(&counters[i], expected, i + 1 < interfaces);
  printf("]}\n");
  return 0;
}
