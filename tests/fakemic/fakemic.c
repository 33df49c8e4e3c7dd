/* A file of raw interleaved S16_LE -> an ALSA capture device in user space that plays it in a loop, in real time.
 *
 * The sample at a time depends on CLOCK_MONOTONIC alone (frame number = seconds * rate). So the sound goes on while no
 * stream is open, and a test can tell from a sample when it was recorded. A slow reader gets a real overrun (-EPIPE).
 *
 * A control file names the fault of the device. As with a kernel driver, a fault stays until the stream is closed:
 *   ""      no fault
 *   unplug  poll and pointer return -ENODEV at once, and the device cannot be opened
 *   vanish  what the kernel does when a plug is pulled: POLLERR | POLLNVAL for ever, state DISCONNECTED, nothing to read
 *   freeze  no samples and no error; the device can be opened, but delivers no samples
 *   16000   or another divisor of the rate: the plug is pulled, and the device is back with this rate only. It delivers
 *           every third sample, say, so the sound is the same
 *
 * pcm_type.fakemic { lib "/path/fakemic.so" }
 * pcm.NAME { type fakemic  file "a.raw"  control "fault"  channels 4  rate 48000  hint { show on description "NAME" } }
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum fault { NONE, UNPLUG, VANISH, FREEZE };

struct device {
    snd_pcm_ioplug_t io;
    char *control;
    const char *sound; /* the file, mapped */
    size_t frames, frame_bytes;
    int timer; /* wakes the process that polls, four times in a period */
    enum fault fault;
    int running;
    unsigned int step; /* frames of the file for one of the device */
    uint64_t first;  /* frame number at which the stream was started */
    uint64_t taken;  /* frames read since then */
    uint64_t frozen; /* frames recorded between the start and a freeze */
};

static uint64_t frame_number(const struct device *device)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * device->io.rate + (uint64_t)now.tv_nsec * device->io.rate / 1000000000;
}

/* The number in the control file, 0 without one. */
static unsigned int read_rate(const char *path)
{
    char said[8] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t count = read(fd, said, 6);
    close(fd);
    return count > 0 ? (unsigned int)strtoul(said, NULL, 10) : 0;
}

static enum fault read_control(const char *path)
{
    static const char *const names[] = {"", "unplug", "vanish", "freeze"};
    char said[8] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NONE;
    ssize_t count = read(fd, said, 6);
    close(fd);
    for (int fault = UNPLUG; count > 0 && fault <= FREEZE; fault++)
        if (!strcmp(said, names[fault]))
            return fault;
    return NONE;
}

/* Number of frames recorded since the start. It stays the same once the device is frozen. */
static uint64_t recorded(const struct device *device)
{
    if (!device->running)
        return 0;
    return device->fault == FREEZE ? device->frozen : frame_number(device) - device->first;
}

static enum fault fault_now(struct device *device)
{
    if (device->fault == NONE) {
        uint64_t before = recorded(device);
        unsigned int rate = read_rate(device->control);
        device->fault = rate && rate != device->io.rate ? VANISH : read_control(device->control);
        device->frozen = before;
        if (device->fault == UNPLUG || device->fault == VANISH)
            snd_pcm_ioplug_set_state(&device->io, SND_PCM_STATE_DISCONNECTED);
    }
    return device->fault;
}

static int is_gone(struct device *device)
{
    enum fault fault = fault_now(device);
    return fault == UNPLUG || fault == VANISH;
}

static int set_timer(struct device *device, long period_ns)
{
    struct itimerspec each = {{period_ns / 1000000000, period_ns % 1000000000}, {0, period_ns}};
    each.it_value = each.it_interval;
    return timerfd_settime(device->timer, 0, &each, NULL) < 0 ? -errno : 0;
}

static int on_prepare(snd_pcm_ioplug_t *io)
{
    struct device *device = io->private_data;
    if (is_gone(device))
        return -ENODEV;
    device->running = 0;
    device->taken = 0;
    return 0;
}

static int on_start(snd_pcm_ioplug_t *io)
{
    struct device *device = io->private_data;
    if (is_gone(device))
        return -ENODEV;
    device->first = frame_number(device);
    device->taken = 0;
    device->frozen = 0;
    device->running = 1;
    return set_timer(device, (long)(io->period_size * 250000000ull / io->rate));
}

static int on_stop(snd_pcm_ioplug_t *io)
{
    struct device *device = io->private_data;
    device->running = 0;
    return set_timer(device, 0);
}

static snd_pcm_sframes_t on_pointer(snd_pcm_ioplug_t *io)
{
    struct device *device = io->private_data;
    enum fault fault = fault_now(device);
    if (fault == UNPLUG)
        return -ENODEV;
    if (fault == VANISH)
        return device->taken % io->buffer_size;
    uint64_t frames = recorded(device);
    return frames > device->taken + io->buffer_size ? -EPIPE : (snd_pcm_sframes_t)(frames % io->buffer_size);
}

static snd_pcm_sframes_t on_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas, snd_pcm_uframes_t offset,
                                     snd_pcm_uframes_t size)
{
    struct device *device = io->private_data;
    if (is_gone(device))
        return -ENODEV;
    char *to = (char *)areas->addr + (areas->first + (size_t)areas->step * offset) / 8;
    for (snd_pcm_uframes_t done = 0; done < size; done++, device->taken++) {
        size_t from = (device->first + device->taken) * device->step % device->frames;
        memcpy(to + done * device->frame_bytes, device->sound + from * device->frame_bytes, device->frame_bytes);
    }
    return size;
}

static int on_poll(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned int count, unsigned short *events)
{
    struct device *device = io->private_data;
    uint64_t ticks;
    *events = 0;
    if (is_gone(device)) {
        *events = POLLERR | POLLNVAL;
        return device->fault == UNPLUG ? -ENODEV : 0;
    }
    if (count == 1 && fds->revents & POLLIN && read(device->timer, &ticks, sizeof ticks) == sizeof ticks) {
        uint64_t waiting = recorded(device) - device->taken;
        if (waiting >= io->period_size)
            *events = waiting > io->buffer_size ? POLLIN | POLLERR : POLLIN;
    }
    return 0;
}

static int on_close(snd_pcm_ioplug_t *io)
{
    struct device *device = io->private_data;
    close(device->timer);
    munmap((void *)device->sound, device->frames * device->frame_bytes);
    free(device->control);
    free(device);
    return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
    .prepare = on_prepare,
    .start = on_start,
    .stop = on_stop,
    .pointer = on_pointer,
    .transfer = on_transfer,
    .poll_revents = on_poll,
    .close = on_close,
};

static int map_sound(struct device *device, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0 || (device->frames = status.st_size / device->frame_bytes) == 0) {
        close(fd);
        return -EINVAL;
    }
    device->sound = mmap(NULL, device->frames * device->frame_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return device->sound == MAP_FAILED ? -errno : 0;
}

static int set_limits(snd_pcm_ioplug_t *io, unsigned int channels, unsigned int rate)
{
    static const unsigned int access[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED};
    static const unsigned int format[] = {SND_PCM_FORMAT_S16_LE};
    unsigned int frame_bytes = 2 * channels;
    int error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, channels, channels);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, rate, rate);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 64);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 32 * frame_bytes, 65536 * frame_bytes);
    if (error >= 0)
        error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 64 * frame_bytes, 131072 * frame_bytes);
    return error;
}

SND_PCM_PLUGIN_DEFINE_FUNC(fakemic)
{
    const char *file = "", *control = "";
    long channels = 4, rate = 48000;
    snd_config_iterator_t at, next;
    (void)root;
    snd_config_for_each(at, next, conf)
    {
        snd_config_t *node = snd_config_iterator_entry(at);
        const char *key;
        if (snd_config_get_id(node, &key) < 0 || !strcmp(key, "type") || !strcmp(key, "hint"))
            continue;
        if (!strcmp(key, "file"))
            snd_config_get_string(node, &file);
        else if (!strcmp(key, "control"))
            snd_config_get_string(node, &control);
        else if (!strcmp(key, "channels"))
            snd_config_get_integer(node, &channels);
        else if (!strcmp(key, "rate"))
            snd_config_get_integer(node, &rate);
        else
            return -EINVAL;
    }
    if (stream != SND_PCM_STREAM_CAPTURE)
        return -EINVAL;
    enum fault fault = read_control(control);
    if (fault == UNPLUG || fault == VANISH)
        return -ENODEV;

    struct device *device = calloc(1, sizeof *device);
    unsigned int other_rate = read_rate(control);
    device->step = other_rate ? (unsigned int)rate / other_rate : 1;
    rate = other_rate ? other_rate : rate;
    device->control = strdup(control);
    device->frame_bytes = 2 * channels;
    int error = map_sound(device, file);
    if (error < 0) {
        free(device->control);
        free(device);
        return error;
    }
    device->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    device->io.version = SND_PCM_IOPLUG_VERSION;
    device->io.name = "fake microphone array";
    device->io.callback = &callbacks;
    device->io.private_data = device;
    device->io.poll_fd = device->timer;
    device->io.poll_events = POLLIN;
    error = snd_pcm_ioplug_create(&device->io, name, stream, mode);
    if (error < 0) {
        on_close(&device->io);
        return error;
    }
    error = set_limits(&device->io, channels, rate);
    if (error < 0) {
        snd_pcm_ioplug_delete(&device->io); /* calls on_close */
        return error;
    }
    *pcmp = device->io.pcm;
    return 0;
}

SND_PCM_PLUGIN_SYMBOL(fakemic);
