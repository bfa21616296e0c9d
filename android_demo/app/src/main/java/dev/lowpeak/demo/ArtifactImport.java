package dev.lowpeak.demo;

import android.content.ContentResolver;
import android.database.Cursor;
import android.net.Uri;
import android.provider.DocumentsContract;
import dev.lowpeak.core.BundleCheck;
import dev.lowpeak.core.BundleException;
import dev.lowpeak.core.BundleInfo;
import dev.lowpeak.core.Units;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** Copies an artifact that the user picked, a folder or a zip file, into the app: checked, and then whole or not. */
final class ArtifactImport {
    /** Is told how far it is. */
    interface Progress {
        void copied(String file, long bytes);
    }

    private static final int ID_LETTERS = 16;
    private static final int BUFFER = 1 << 20;

    private final ContentResolver resolver;
    private final Storage storage;
    private final Progress progress;

    ArtifactImport(ContentResolver resolver, Storage storage, Progress progress) {
        this.resolver = resolver;
        this.storage = storage;
        this.progress = progress;
    }

    /** Of a tree of documents; returns the artifact's ID. Throws IOException, BundleException. */
    String folder(Uri tree) throws IOException, BundleException {
        return checked(incoming -> copyTree(tree, incoming));
    }

    /** Of a zip file with the artifact's files, or with one folder of them. */
    String zip(Uri file) throws IOException, BundleException {
        return checked(incoming -> copyZip(file, incoming));
    }

    private interface Copy {
        void to(File folder) throws IOException;
    }

    private String checked(Copy copy) throws IOException, BundleException {
        File incoming = new File(Storage.made(storage.artifacts()), ".incoming");
        // Of an import that was cut off.
        Storage.remove(incoming);
        try {
            copy.to(Storage.made(incoming));
            BundleInfo info = BundleCheck.check(incoming, (done, of) -> progress.copied("sha256", done));
            String id = info.id().substring(0, ID_LETTERS);
            File folder = storage.artifact(id);
            Storage.remove(folder);
            if (!incoming.renameTo(folder)) {
                throw new IOException("the artifact cannot be moved to " + folder);
            }
            return id;
        } finally {
            Storage.remove(incoming);
        }
    }

    private void copyTree(Uri tree, File folder) throws IOException {
        String root = DocumentsContract.getTreeDocumentId(tree);
        Uri children = DocumentsContract.buildChildDocumentsUriUsingTree(tree, root);
        String[] columns = {DocumentsContract.Document.COLUMN_DOCUMENT_ID,
            DocumentsContract.Document.COLUMN_DISPLAY_NAME, DocumentsContract.Document.COLUMN_MIME_TYPE};
        try (Cursor cursor = resolver.query(children, columns, null, null, null)) {
            if (cursor == null) {
                throw new IOException("the folder cannot be read");
            }
            while (cursor.moveToNext()) {
                if (DocumentsContract.Document.MIME_TYPE_DIR.equals(cursor.getString(2))) {
                    continue;
                }
                Uri file = DocumentsContract.buildDocumentUriUsingTree(tree, cursor.getString(0));
                try (InputStream stream = open(file)) {
                    write(stream, folder, cursor.getString(1));
                }
            }
        }
    }

    private void copyZip(Uri file, File folder) throws IOException {
        try (ZipInputStream zip = new ZipInputStream(open(file))) {
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                if (!entry.isDirectory()) {
                    String name = entry.getName();
                    write(zip, folder, name.substring(name.lastIndexOf('/') + 1));
                }
            }
        }
    }

    private InputStream open(Uri uri) throws IOException {
        InputStream stream = resolver.openInputStream(uri);
        if (stream == null) {
            throw new IOException(uri + " cannot be read");
        }
        return stream;
    }

    private void write(InputStream from, File folder, String name) throws IOException {
        if (name.isEmpty() || name.startsWith(".") || name.indexOf('/') >= 0) {
            throw new IOException("\"" + name + "\" is no file of an artifact");
        }
        File file = new File(folder, name);
        if (file.exists()) {
            throw new IOException("there are two files " + name + ": pick one artifact");
        }
        try (OutputStream to = new FileOutputStream(file)) {
            byte[] buffer = new byte[BUFFER];
            long bytes = 0;
            for (int read = from.read(buffer); read >= 0; read = from.read(buffer)) {
                to.write(buffer, 0, read);
                bytes += read;
                progress.copied(name, bytes);
            }
        } catch (IOException error) {
            long free = folder.getUsableSpace();
            if (free < 2 * BUFFER) {
                throw new IOException("the phone is full, " + Units.megabytes(free) + " are free: make room for " + name
                        + " and pick the artifact again", error);
            }
            throw error;
        }
    }
}
