package dev.lowpeak.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class ExamplesTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private File file;

    @Before
    public void place() {
        file = new File(folder.getRoot(), "examples.jsonl");
    }

    private static InputStream bytes(String text) {
        return new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    public void typedOnesAreInTheFileAtOnce() throws IOException {
        Examples examples = Examples.open(file);
        examples.add(Example.chat("What is \"2 + 2\"?", "4\n\ud83d\ude00"));
        examples.add(Example.chat("Hi", "Hello"));
        assertEquals("{\"messages\":[{\"role\":\"user\",\"content\":\"What is \\\"2 + 2\\\"?\"},"
                + "{\"role\":\"assistant\",\"content\":\"4\\u000a\ud83d\ude00\"}]}",
                Files.readText(file).split("\n")[0]);
        examples.remove(0);
        Examples again = Examples.open(file);
        assertEquals(1, again.size());
        assertEquals("Hi", again.list().get(0).title());
        assertEquals("Hello", again.list().get(0).answer());
    }

    @Test
    public void importKeepsAllKeysAndSkipsBlankLines() throws IOException {
        Examples examples = Examples.open(file);
        String lines = "\uFEFF{\"prompt\":\"2 + 2 =\",\"completion\":\" 4\",\"id\":7}\r\n\n"
                + "{\"prompt\":\"\",\"completion\":\"x\"}";
        assertEquals(2, examples.importLines(bytes(lines)).added());
        assertEquals("{\"prompt\":\"2 + 2 =\",\"completion\":\" 4\",\"id\":7}",
                Files.readText(file).split("\n")[0]);
        assertEquals(" 4", examples.list().get(0).answer());
    }

    @Test
    public void anImportWithAWrongLineAddsNothingAndNamesIt() throws IOException {
        Examples examples = Examples.open(file);
        examples.add(Example.chat("Hi", "Hello"));
        Examples.Import done = examples.importLines(bytes(
                "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
                + "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n"
                + "{\"text\":\"x\"}\n{\"x\":1}\n{\"prompt\":1,\"completion\":\"\"}\n[]\n{\n"));
        assertEquals(0, done.added());
        assertEquals(6, done.problemCount());
        assertEquals("line 2: no message is of the role \"assistant\", so there is no answer to learn",
                done.problems().get(0));
        assertEquals("line 3: it has text, the others have messages: all must be of one kind",
                done.problems().get(1));
        assertEquals("line 4: it needs \"messages\", or \"prompt\" and \"completion\", or \"text\"",
                done.problems().get(2));
        assertEquals("line 5: the line.prompt should be a text, it is an integer", done.problems().get(3));
        assertEquals("line 6: the line should be an object, it is a list", done.problems().get(4));
        assertEquals("line 7: not JSON: the text ends too early at character 2 of 1", done.problems().get(5));
        assertEquals(1, Examples.open(file).size());
    }

    @Test
    public void manyWrongLinesAreCounted() throws IOException {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 100; i++) {
            lines.append("x\n");
        }
        Examples.Import done = Examples.open(file).importLines(bytes(lines.toString()));
        assertEquals(100, done.problemCount());
        assertEquals(Examples.MOST_PROBLEMS, done.problems().size());
    }

    @Test
    public void nothingAndWhatIsNoTextAreRefused() throws IOException {
        Examples examples = Examples.open(file);
        assertEquals("line 1: the file is empty: it needs one JSON object a line",
                examples.importLines(bytes("\n \n")).problems().get(0));
        assertThrows(IllegalArgumentException.class, () -> Example.chat("Hi", " "));
        IOException error = assertThrows(IOException.class, () -> examples.importLines(
                new ByteArrayInputStream("{\"text\":\"\u00e4\"}".getBytes(StandardCharsets.ISO_8859_1))));
        assertEquals("the file is not UTF-8 text", error.getMessage());
        assertFalse(file.exists());
    }

    @Test
    public void anotherKindIsRefused() throws IOException {
        Examples examples = Examples.open(file);
        examples.add(Example.text("a"));
        assertThrows(IllegalArgumentException.class, () -> examples.add(Example.completion("a", "b")));
        assertEquals(1, examples.size());
    }

    @Test
    public void whatCannotBeKeptIsNotThere() throws IOException {
        Examples examples = Examples.open(new File(folder.getRoot(), "nothing/examples.jsonl"));
        assertThrows(IOException.class, () -> examples.add(Example.text("a")));
        assertEquals(0, examples.size());
        Files.writeText(file, "{\"text\":\"a\"}\nx\n");
        String message = assertThrows(IOException.class, () -> Examples.open(file)).getMessage();
        assertTrue(message, message.startsWith(file + ", line 2: not JSON"));
    }
}
