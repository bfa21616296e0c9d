package dev.lowpeak.demo;

/** A part of the screen. */
interface Panel {
    /** Reads from the disk what can be chosen. */
    default void reload() {}

    /** Shows how things are now. */
    void refresh();
}
