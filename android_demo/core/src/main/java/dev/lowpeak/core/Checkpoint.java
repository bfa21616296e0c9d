package dev.lowpeak.core;

import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** Where a run is, by the header of its checkpoint.safetensors; the tensors are not read. */
public final class Checkpoint {
    private static final String FORMAT = "lowpeak-checkpoint-2";
    /** Of safetensors. */
    private static final long MOST_HEADER_BYTES = 100_000_000;

    private final String artifact;
    private final long step;
    private final long seed;
    private final String data;
    private final long position;

    private Checkpoint(JsonObject progress) throws JsonException {
        artifact = progress.text("artifact");
        step = progress.integer("step");
        seed = progress.integer("seed");
        data = progress.text("data");
        position = progress.integer("position");
    }

    /** Throws IOException when the file is no checkpoint or damaged. */
    public static Checkpoint read(File file) throws IOException {
        try (DataInputStream stream = new DataInputStream(new FileInputStream(file))) {
            long length = Long.reverseBytes(stream.readLong());
            if (length < 2 || length > Math.min(MOST_HEADER_BYTES, file.length() - 8)) {
                throw new IOException(file + " is no checkpoint: its header has " + length + " bytes");
            }
            byte[] header = new byte[(int) length];
            stream.readFully(header);
            JsonObject metadata = JsonObject
                    .of(Json.parse(new String(header, StandardCharsets.UTF_8)), "the header")
                    .object("__metadata__");
            if (!metadata.text("format").equals(FORMAT)) {
                throw new IOException(file + " is a checkpoint of another version: " + metadata.text("format"));
            }
            return new Checkpoint(JsonObject.of(Json.parse(metadata.text("progress")), "progress"));
        } catch (java.io.EOFException error) {
            throw new IOException(file + " is no checkpoint: it has only " + file.length() + " bytes", error);
        } catch (JsonException error) {
            throw new IOException(file + " is a damaged checkpoint: " + error.getMessage(), error);
        }
    }

    /** {@link BundleInfo#id} of the artifact that is trained. */
    public String artifact() {
        return artifact;
    }

    /** Updates made. */
    public long step() {
        return step;
    }

    public long seed() {
        return seed;
    }

    /** SHA-256 of what is trained on. */
    public String data() {
        return data;
    }

    /** Where the last step ended in the order of the data. */
    public long position() {
        return position;
    }
}
