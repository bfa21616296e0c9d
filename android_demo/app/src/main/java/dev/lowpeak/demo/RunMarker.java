package dev.lowpeak.demo;

import dev.lowpeak.core.Files;
import dev.lowpeak.core.Json;
import dev.lowpeak.core.JsonException;
import java.io.File;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;

/** Says on the disk which run is going on: where it is left after the app has ended, the app did not end it. */
final class RunMarker {
    private final File file;

    RunMarker(File file) {
        this.file = file;
    }

    void set(String run) throws IOException {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("run", run);
        Files.writeText(file, Json.write(fields));
    }

    void clear() {
        file.delete();
    }

    /** The run, or null. A file that cannot be read is removed: it names none. */
    String run() {
        try {
            return file.isFile() ? Json.parseObject(Files.readText(file)).text("run") : null;
        } catch (IOException | JsonException error) {
            clear();
            return null;
        }
    }
}
