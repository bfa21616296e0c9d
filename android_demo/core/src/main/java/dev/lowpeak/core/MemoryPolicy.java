package dev.lowpeak.core;

/**
 * Pauses, which frees the memory, before the system takes it: when it says that memory is low, or when what it keeps
 * free and what the runner has yet to take are not there.
 */
public final class MemoryPolicy implements Policy {
    @Override
    public Decision decide(DeviceState state) {
        long wanted = state.thresholdBytes + state.neededBytes;
        if (state.lowMemory || state.availableBytes < wanted) {
            return Decision.pause(Texts.lowMemory(state.availableBytes, wanted));
        }
        return Decision.RUN;
    }
}
