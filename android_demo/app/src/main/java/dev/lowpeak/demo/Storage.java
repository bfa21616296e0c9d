package dev.lowpeak.demo;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/**
 * Where things lie in the app's own files; `lowpeak deploy --app` pushes to the same places.
 *
 * <pre>
 * artifacts/ID/        as compiled
 * runs/NAME/           job.json, batches/, checkpoint.safetensors, metrics.ndjson; of one that was begun on this phone
 *                      its examples.jsonl, and batches.partial/ as they are encoded
 * examples.jsonl       typed and imported on this phone
 * evaluation.jsonl     what the losses before and after are taken of, if it was imported
 * running.json         the run that is going on
 * work/                temporary files of runners, on the disk
 * </pre>
 */
final class Storage {
    private final File files;

    /** {@code files}: Context.getFilesDir(). */
    Storage(File files) {
        this.files = files;
    }

    File artifacts() {
        return new File(files, "artifacts");
    }

    File runs() {
        return new File(files, "runs");
    }

    File examples() {
        return new File(files, "examples.jsonl");
    }

    File evaluation() {
        return new File(files, "evaluation.jsonl");
    }

    File running() {
        return new File(files, "running.json");
    }

    File work() {
        return new File(files, "work");
    }

    /** Throws IOException for a name that is no folder's in it. */
    File artifact(String id) throws IOException {
        return child(artifacts(), id);
    }

    /** Throws IOException for a name that no folder can have. The folder need not be there. */
    File run(String name) throws IOException {
        return child(runs(), name);
    }

    /** Folders with that file in them, the last changed first. */
    static List<String> names(File folder, String file) {
        File[] found = folder.listFiles(each -> new File(each, file).isFile());
        List<String> names = new ArrayList<>();
        if (found != null) {
            Arrays.sort(found, Comparator.comparingLong(File::lastModified).reversed());
            for (File each : found) {
                names.add(each.getName());
            }
        }
        return names;
    }

    /** "run-1", or the first number that is free. */
    String newRunName() {
        int number = 1;
        while (new File(runs(), "run-" + number).exists()) {
            number++;
        }
        return "run-" + number;
    }

    /** Makes the folder and those above it. Throws IOException. */
    static File made(File folder) throws IOException {
        if (!folder.isDirectory() && !folder.mkdirs()) {
            throw new IOException("the folder " + folder + " cannot be made: the disk may be full");
        }
        return folder;
    }

    /** Removes a folder with all that is in it; links are removed, not followed. */
    static void remove(File file) {
        File[] within = java.nio.file.Files.isSymbolicLink(file.toPath()) ? null : file.listFiles();
        if (within != null) {
            for (File each : within) {
                remove(each);
            }
        }
        file.delete();
    }

    /** Intents bring names from other programs. */
    private static File child(File folder, String name) throws IOException {
        boolean plain = name != null && !name.isEmpty() && !name.equals(".") && !name.equals("..")
                && name.chars().allMatch(c -> c >= ' ' && c != '/');
        if (!plain) {
            throw new IOException("\"" + name + "\" is no name of a folder in " + folder);
        }
        return new File(folder, name);
    }
}
