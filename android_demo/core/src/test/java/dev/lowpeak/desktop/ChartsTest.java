package dev.lowpeak.desktop;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import dev.lowpeak.core.ChartModel;
import dev.lowpeak.core.Display;
import dev.lowpeak.core.JsonException;
import dev.lowpeak.core.StepMetrics;
import dev.lowpeak.core.Theme;
import dev.lowpeak.core.TrainingPanel;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import javax.imageio.ImageIO;
import org.junit.Test;

/** The panel of a recorded run, measured where it is drawn. */
public class ChartsTest {
    private static final Display PHONE = new Display(2, 1);

    private static ChartModel recorded() throws IOException {
        return DrawPictures.replay(new File(System.getProperty("lowpeak.metrics")));
    }

    private static ChartModel made(int steps, long goal, double bytes) throws JsonException {
        ChartModel model = new ChartModel(goal);
        for (int i = 0; i < steps; i++) {
            model.add(StepMetrics.parse("{\"step\":" + i + ",\"loss\":" + (1 + 100.0 / (i + 10)) + ",\"seconds\":12.5,"
                    + "\"tokens_per_second\":1234.5,\"rss_bytes\":" + 0.9 * bytes + ",\"peak_rss_bytes\":" + bytes
                    + ",\"planned_peak_bytes\":" + 1.05 * bytes + ",\"budget_bytes\":" + 1.1 * bytes + "}"));
        }
        return model;
    }

    @Test
    public void everyTextHasItsPlace() throws Exception {
        ChartModel[] models = {
            recorded(), new ChartModel(0), made(1, 1, 1e8), made(3, 5000, 1.2e10), made(20_000, 20_000, 3e8),
        };
        for (ChartModel model : models) {
            for (float density : new float[] {1, 1.5f, 3}) {
                for (float fontScale : new float[] {0.85f, 1, 1.3f, 2}) {
                    for (float widthDp : new float[] {320, 360, 411, 600, 1280}) {
                        Display display = new Display(density, fontScale);
                        MeasuringSurface surface = new MeasuringSurface(
                                Math.round(display.dp(widthDp)), Math.round(TrainingPanel.preferredHeight(display)));
                        TrainingPanel.draw(surface, model, Theme.light(), surface.width(), surface.height(), display);
                        String where = widthDp + " dp, density " + density + ", font " + fontScale + ": ";
                        assertEquals(where, "", surface.problems());
                    }
                }
            }
        }
    }

    @Test
    public void theRecordedRunIsAllThere() throws Exception {
        ChartModel model = recorded();
        assertTrue(model.step() >= 30);
        for (Theme theme : new Theme[] {Theme.light(), Theme.dark()}) {
            assertIsAllThere(DrawPictures.draw(model, theme, PHONE), theme);
        }
    }

    /** Other fonts have other pixels: what is kept is compared by what it shows. */
    @Test
    public void theKeptPicturesShowIt() throws Exception {
        File docs = new File(System.getProperty("lowpeak.docs"));
        assertIsAllThere(ImageIO.read(new File(docs, "android-chart-light.png")), Theme.light());
        assertIsAllThere(ImageIO.read(new File(docs, "android-chart-dark.png")), Theme.dark());
    }

    private static void assertIsAllThere(BufferedImage image, Theme theme) {
        assertEquals(2 * DrawPictures.WIDTH_DP, image.getWidth());
        assertEquals(Math.round(TrainingPanel.preferredHeight(PHONE)), image.getHeight());
        assertEquals(theme.background, image.getRGB(1, 1));
        assertEquals(theme.background, image.getRGB(image.getWidth() - 1, image.getHeight() - 1));
        int[] colors = {theme.text, theme.mutedText, theme.grid, theme.rawLoss, theme.smoothLoss, theme.resident,
            theme.planned, theme.budget};
        for (int color : colors) {
            assertTrue(String.format("%08x is on %d pixels", color, pixels(image, color)),
                    pixels(image, color) > 40);
        }
    }

    @Test
    public void wordsAndFiguresAreThoseOfTheRun() throws Exception {
        MeasuringSurface surface = new MeasuringSurface(720, 1120);
        ChartModel model = recorded();
        TrainingPanel.draw(surface, model, Theme.light(), 720, 1120, PHONE);
        for (String text : new String[] {"Loss", "each step", "moving average", "Memory, MB", "step",
            "Tokens/s", model.step() + " of " + model.step()}) {
            assertTrue(text + " is not among " + surface.texts(), surface.texts().contains(text));
        }
        for (String begin : new String[] {"now ", "peak ", "predicted peak ", "budget "}) {
            assertTrue(begin, surface.texts().stream().anyMatch(
                    text -> text.startsWith(begin) && text.endsWith(" MB")));
        }
        String words = model.describe();
        assertTrue(words, words.matches("Step [0-9]+ of [0-9]+\\. Loss [0-9.]+, on average [0-9.]+; it began with "
                + "[0-9.]+\\. [0-9.]+ tokens a second\\. Memory [0-9.]+ MB, at most [0-9.]+ MB\\. Predicted were at "
                + "most [0-9.]+ MB, the budget is [0-9.]+ MB\\."));
    }

    @Test
    public void aViewWithoutRoomIsNoFailure() throws Exception {
        for (int size : new int[] {1, 40, 120}) {
            TrainingPanel.draw(new ImageSurface(size, size), recorded(), Theme.dark(), size, size, PHONE);
        }
    }

    @Test
    public void theMeasureFindsWhatItIsFor() {
        MeasuringSurface surface = new MeasuringSurface(100, 100);
        surface.text("one", 10, 50, dev.lowpeak.core.Surface.Align.LEFT, 12, false, 0xFF000000);
        assertEquals("", surface.problems());
        surface.text("two", 20, 52, dev.lowpeak.core.Surface.Align.LEFT, 12, false, 0xFF000000);
        surface.text("too far right", 60, 90, dev.lowpeak.core.Surface.Align.LEFT, 12, false, 0xFF000000);
        assertTrue(surface.problems().contains("one meets two"));
        assertTrue(surface.problems().contains("too far right is cut off"));
        assertFalse(surface.texts().isEmpty());
    }

    private static int pixels(BufferedImage image, int color) {
        int count = 0;
        for (int y = 0; y < image.getHeight(); y++) {
            for (int x = 0; x < image.getWidth(); x++) {
                count += image.getRGB(x, y) == color ? 1 : 0;
            }
        }
        return count;
    }
}
