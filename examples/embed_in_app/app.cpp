// app.cpp: app.c in C++, with the memory of the session in the application's hands.
#include "catdog.h"
#include "tlr.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace
{
const int width = 320, height = 240;

struct Close {
    void operator()(tlr_session *s) const { tlr_close(s); }
};

struct Free {
    void operator()(void *p) const { std::free(p); }
};

// A disc on a gradient: your camera frame.
std::vector<unsigned char> draw()
{
    std::vector<unsigned char> rgb;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            int dx = x - width / 2, dy = y - height / 2;
            bool inside = dx * dx + dy * dy < 80 * 80;
            rgb.push_back(static_cast<unsigned char>(inside ? 230 : x * 255 / width));
            rgb.push_back(static_cast<unsigned char>(inside ? 160 : y * 255 / height));
            rgb.push_back(static_cast<unsigned char>(inside ? 90 : 128));
        }
    return rgb;
}

int fail(tlr_status st)
{
    std::fprintf(stderr, "app: %s\n", tlr_status_text(st));
    return st;
}
} // namespace

int main(int argc, char **argv)
{
    tlr_config config = {};
    config.threads = 2;
    config.memory_bytes = tlr_session_bytes(&catdog_model, &config);
    size_t rounded = (config.memory_bytes + 63) / 64 * 64;
    std::unique_ptr<void, Free> memory(std::aligned_alloc(64, rounded));
    config.memory = memory.get();

    tlr_session *opened = nullptr;
    const char *weights = argc > 1 ? argv[1] : "weights.bin";
    tlr_status st = tlr_open_file(&catdog_model, weights, &config, &opened);
    if (st != TLR_OK)
        return fail(st);
    std::unique_ptr<tlr_session, Close> session(opened);

    tlr_info info;
    tlr_model_info(&catdog_model, &info);
    std::vector<float> p(static_cast<size_t>(info.n_classes));
    std::vector<unsigned char> rgb = draw();
    tlr_picture picture = { rgb.data(), width, height, width * 3, TLR_RGB };
    st = tlr_classify(session.get(), &picture, 1, p.data());
    if (st != TLR_OK)
        return fail(st);
    for (int i = 0; i < info.n_classes; ++i)
        std::printf("%.4f  %s\n", p[static_cast<size_t>(i)],
                    tlr_label(opened, i) ? tlr_label(opened, i) : "");
    return 0;
}
