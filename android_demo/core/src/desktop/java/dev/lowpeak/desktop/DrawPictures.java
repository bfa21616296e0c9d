package dev.lowpeak.desktop;

import dev.lowpeak.core.ChartModel;
import dev.lowpeak.core.Display;
import dev.lowpeak.core.Metrics;
import dev.lowpeak.core.StepMetrics;
import dev.lowpeak.core.Theme;
import dev.lowpeak.core.TrainingPanel;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.util.List;
import javax.imageio.ImageIO;

/** docs/android-chart-{light,dark}.png: the app's panel of a recorded run, as a phone 360 dp wide shows it. */
public final class DrawPictures {
    public static final int WIDTH_DP = 360;

    private DrawPictures() {}

    /** {@code DrawPictures METRICS FOLDER}. */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 2) {
            System.err.println("usage: DrawPictures METRICS.ndjson FOLDER");
            System.exit(2);
        }
        ChartModel model = replay(new File(arguments[0]));
        Display display = new Display(2, 1);
        File folder = new File(arguments[1]);
        ImageIO.write(draw(model, Theme.light(), display), "png", new File(folder, "android-chart-light.png"));
        ImageIO.write(draw(model, Theme.dark(), display), "png", new File(folder, "android-chart-dark.png"));
    }

    /** The recorded run at its end, which is taken for its goal. Throws IOException. */
    public static ChartModel replay(File metrics) throws IOException {
        List<StepMetrics> steps = Metrics.read(metrics);
        if (steps.isEmpty()) {
            throw new IOException(metrics + " has no step");
        }
        ChartModel model = new ChartModel(steps.get(steps.size() - 1).step() + 1);
        steps.forEach(model::add);
        return model;
    }

    public static BufferedImage draw(ChartModel model, Theme theme, Display display) {
        int width = Math.round(display.dp(WIDTH_DP));
        int height = Math.round(TrainingPanel.preferredHeight(display));
        ImageSurface surface = new ImageSurface(width, height);
        TrainingPanel.draw(surface, model, theme, width, height, display);
        return surface.image();
    }
}
