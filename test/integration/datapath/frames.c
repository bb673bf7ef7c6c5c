/*
 * Sends and receives raw Ethernet frames for the datapath's tests, on an interface of the network namespace it runs in.
 *
 *   frames send IF [bypass]      hex frames on stdin, one a line; "sent N failed M" at the end
 *   frames flood IF N SIZE US    N numbered frames of SIZE bytes, US microseconds apart
 *   frames gso IF N              N TCP super-frames of 8 segments with unfinished checksums (PACKET_VNET_HDR)
 *   frames receive IF            "ready", then after stdin ends and traffic rests: hex frames, then "dropped N"
 *   frames count IF              the same, but "frames N" for the number instead of the frames
 *
 * A VLAN tag that the kernel took off is put back where it was. What the interface itself sends is not received.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FRAME = 70000 };

static int open_socket(const char *interface, uint16_t protocol) {
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) { perror("socket"); exit(2); }
  int size = 128 * 1024 * 1024, one = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = if_nametoindex(interface)};
  if (!to.sll_ifindex || bind(fd, (struct sockaddr *)&to, sizeof to)) { perror("bind"); exit(2); }
  return fd;
}

static int sent, failed;
static void put(int fd, const void *bytes, size_t size) {
  /* A frame that a guard or a full backlog drops is ENOBUFS (NET_XMIT_DROP): it failed, and is not sent again. */
  if (send(fd, bytes, size, 0) < 0) failed++;
  else sent++;
}

static void send_hex(int fd) {
  static char line[2 * MAX_FRAME + 2];
  static uint8_t frame[MAX_FRAME];
  while (fgets(line, sizeof line, stdin)) {
    size_t size = strcspn(line, "\n") / 2;
    for (size_t i = 0; i < size; i++) sscanf(line + 2 * i, "%2hhx", &frame[i]);
    put(fd, frame, size);
  }
}

static void flood(int fd, int count, size_t size, int gap_us) {
  static uint8_t frame[MAX_FRAME] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
  for (int i = 0; i < count; i++) {
    uint32_t number = htonl(i);
    memcpy(frame + 14, &number, 4);
    put(fd, frame, size);
    if (gap_us) usleep(gap_us);
  }
}

static uint16_t fold(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}
static uint32_t sum16(const uint8_t *bytes, size_t size) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < size; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  return sum;
}

static void gso(int fd, int count) {
  enum { MSS = 1448, SEGMENTS = 8, HEADERS = 14 + 20 + 20 };
  static uint8_t packet[sizeof(struct virtio_net_hdr) + HEADERS + MSS * SEGMENTS];
  int one = 1;
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one)) { perror("vnet_hdr"); exit(2); }
  struct virtio_net_hdr *header = (void *)packet;
  *header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
    .hdr_len = HEADERS, .gso_size = MSS, .csum_start = 34, .csum_offset = 16};
  uint8_t *frame = packet + sizeof *header, *ip = frame + 14, *tcp = ip + 20;
  size_t ip_size = 40 + MSS * SEGMENTS;
  memcpy(frame, (uint8_t[]){2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}, 14);
  memcpy(ip, (uint8_t[]){0x45, 0, ip_size >> 8, ip_size & 255, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}, 20);
  uint16_t check = ~fold(sum16(ip, 20));
  ip[10] = check >> 8, ip[11] = check & 255;
  memcpy(tcp, (uint8_t[]){0x10, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0}, 20);
  for (size_t i = 0; i < MSS * SEGMENTS; i++) tcp[20 + i] = i;
  uint16_t pseudo = fold(sum16(ip + 12, 8) + 6 + (ip_size - 20));
  tcp[16] = pseudo >> 8, tcp[17] = pseudo & 255;
  for (int i = 0; i < count; i++) { put(fd, packet, sizeof packet); usleep(500); }
}

/* Frames are kept in memory until the end, so that printing does not slow the receiver down. */
static struct { uint32_t size; uint8_t *bytes; } *kept;
static size_t keep_count;

static void receive(int fd, int counting) {
  static uint8_t frame[MAX_FRAME];
  size_t room = 0, total = 0;
  int ending = 0;
  puts("ready"), fflush(stdout);
  for (;;) {
    struct pollfd wait[2] = {{fd, POLLIN, 0}, {ending ? -1 : 0, POLLIN, 0}};
    if (!poll(wait, 2, ending ? 300 : -1)) break;
    if (wait[1].revents) ending = 1;
    if (!wait[0].revents) continue;
    char control[256];
    struct sockaddr_ll from;
    struct iovec data = {frame + 4, sizeof frame - 4};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &data, .msg_iovlen = 1,
      .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
    if (size < 0 || from.sll_pkttype == PACKET_OUTGOING) continue;
    total++;
    if (counting) continue;
    uint8_t *start = frame + 4;
    struct cmsghdr *entry = CMSG_FIRSTHDR(&message);
    if (entry && entry->cmsg_type == PACKET_AUXDATA) {
      struct tpacket_auxdata *aux = (void *)CMSG_DATA(entry);
      if (aux->tp_status & TP_STATUS_VLAN_VALID) {
        uint16_t tpid = aux->tp_status & TP_STATUS_VLAN_TPID_VALID ? aux->tp_vlan_tpid : ETH_P_8021Q;
        memmove(frame, frame + 4, 12);
        frame[12] = tpid >> 8, frame[13] = tpid & 255;
        frame[14] = aux->tp_vlan_tci >> 8, frame[15] = aux->tp_vlan_tci & 255;
        start = frame, size += 4;
      }
    }
    if (keep_count == room) kept = realloc(kept, (room = room * 2 + 1024) * sizeof *kept);
    kept[keep_count].size = size;
    kept[keep_count++].bytes = memcpy(malloc(size), start, size);
  }
  for (size_t i = 0; i < keep_count; i++) {
    for (uint32_t j = 0; j < kept[i].size; j++) printf("%02x", kept[i].bytes[j]);
    putchar('\n');
  }
  struct tpacket_stats stats = {0};
  socklen_t length = sizeof stats;
  getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length);
  if (counting) printf("frames %zu\n", total);
  printf("dropped %u\n", stats.tp_drops);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *what = argv[1];
  int receiving = !strcmp(what, "receive") || !strcmp(what, "count"), one = 1;
  int fd = open_socket(argv[2], receiving ? ETH_P_ALL : 0);
  if (argc > 3 && !strcmp(argv[3], "bypass")) setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
  if (receiving) receive(fd, !strcmp(what, "count"));
  else if (!strcmp(what, "send")) send_hex(fd);
  else if (!strcmp(what, "flood")) flood(fd, atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
  else if (!strcmp(what, "gso")) gso(fd, atoi(argv[3]));
  else return 2;
  if (!receiving) printf("sent %d failed %d\n", sent, failed);
  return 0;
}
