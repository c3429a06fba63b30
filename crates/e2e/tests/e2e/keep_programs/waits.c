/* Connects, waits for a byte that never comes, and says why it has ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int socket_ = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	if (count != 3 || inet_pton(AF_INET, words[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons(atoi(words[2]));
	if (connect(socket_, (struct sockaddr *)&to, sizeof(to))) {
		puts(strerror(errno));
		return 1;
	}
	puts("connected");
	fflush(stdout);
	puts(read(socket_, &byte, 1) < 0 ? strerror(errno) : "no error");
	return 1;
}
