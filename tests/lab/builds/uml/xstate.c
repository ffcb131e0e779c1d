/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lets user-mode Linux 6.1 run on processors with AMX: preloaded, it hands a process's registers over whole.
 *
 * The host's kernel takes a process's extended registers by PTRACE_SETREGSET only at their full length, else it says
 * EFAULT (xstateregs_set, arch/x86/kernel/fpu/regset.c). UML 6.1 knows 2,696 bytes of them, up to AVX-512 and PKRU; with
 * AMX there are 11,008, and "ptrace set fp regs failed, errno = 14" ends it. What is missing stays in its first state,
 * as no program in a machine uses AMX. Newer kernels of UML ask for the length.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

/* UML's kernel is one thread, whose stacks are too small for this. */
static unsigned char registers[65536] __attribute__((aligned(64)));
static size_t length;

static long (*real)(int, pid_t, void *, void *);

static long set_registers(pid_t process, struct iovec *given)
{
	struct iovec whole = {registers, sizeof(registers)};

	if (!length) {
		if (real(PTRACE_GETREGSET, process, (void *)NT_X86_XSTATE, &whole))
			return -1;
		length = whole.iov_len;
		memset(registers, 0, sizeof(registers));
	}
	if (given->iov_len >= length)
		return real(PTRACE_SETREGSET, process, (void *)NT_X86_XSTATE, given);
	memcpy(registers, given->iov_base, given->iov_len);
	whole.iov_len = length;
	return real(PTRACE_SETREGSET, process, (void *)NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list given;
	pid_t process;
	void *address, *data;

	va_start(given, request);
	process = va_arg(given, pid_t);
	address = va_arg(given, void *);
	data = va_arg(given, void *);
	va_end(given);
	if (!real)
		real = (long (*)(int, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
		return set_registers(process, data);
	return real(request, process, address, data);
}
