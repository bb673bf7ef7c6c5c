/*
 * packet-hog MODE SECONDS DEVICE: what an instrument with NET_RAW may try against those who deliver frames to it.
 *
 *   rings    receive rings of 2 GiB in all, which no memory limit of a container counts
 *   filters  40 packet sockets, each with a classic BPF program of 1000 instructions
 *   sockets  as many packet sockets as there are descriptors
 *
 * It says in one line what it got ("N sockets, N rings, N filters"), holds it, and ends after SECONDS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INSTRUCTIONS 1000
#define RING_BYTES (128u << 20)

static int open_socket(unsigned index) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (fd < 0) return -1;
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
  if (bind(fd, (struct sockaddr *)&at, sizeof at) == 0) return fd;
  close(fd);
  return -1;
}

static int add_ring(int fd) {
  struct tpacket_req request = {.tp_block_size = 1u << 20, .tp_frame_size = 1u << 11};
  request.tp_block_nr = RING_BYTES / request.tp_block_size;
  request.tp_frame_nr = RING_BYTES / request.tp_frame_size;
  return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request);
}

static int add_filter(int fd) {
  static struct sock_filter program[INSTRUCTIONS];
  for (int i = 0; i < INSTRUCTIONS - 1; i++) program[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 12);
  program[INSTRUCTIONS - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog filter = {.len = INSTRUCTIONS, .filter = program};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: packet-hog rings|filters|sockets SECONDS DEVICE\n");
    return 2;
  }
  const char *mode = argv[1];
  unsigned index = if_nametoindex(argv[3]);
  int wanted = strcmp(mode, "rings") == 0 ? 16 : strcmp(mode, "filters") == 0 ? 40 : 1 << 20;
  int sockets = 0, rings = 0, filters = 0, refused = 0;
  for (; sockets < wanted; sockets++) {
    int fd = open_socket(index);
    if (fd < 0) break;
    if (strcmp(mode, "rings") == 0) rings += add_ring(fd) == 0;
    if (strcmp(mode, "filters") == 0) {
      if (add_filter(fd) == 0) filters++;
      else refused = errno;
    }
  }
  printf("%d sockets, %d rings, %d filters, errno %d\n", sockets, rings, filters, refused);
  fflush(stdout);
  sleep((unsigned)atoi(argv[2]));
  return 0;
}
