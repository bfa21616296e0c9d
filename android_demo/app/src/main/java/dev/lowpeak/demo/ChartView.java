package dev.lowpeak.demo;

import android.content.Context;
import android.content.res.Configuration;
import android.graphics.Canvas;
import android.util.AttributeSet;
import android.view.View;
import dev.lowpeak.core.ChartModel;
import dev.lowpeak.core.Display;
import dev.lowpeak.core.Theme;
import dev.lowpeak.core.TrainingPanel;

/** A run's figures and charts, drawn by core; in words for a screen reader. */
public final class ChartView extends View {
    private static final float HEIGHT = 520;

    private final CanvasSurface surface = new CanvasSurface();
    private final Display display;
    private final Theme theme;
    private ChartModel model = new ChartModel(0);

    /** As a layout makes it. */
    public ChartView(Context context, AttributeSet attributes) {
        super(context, attributes);
        Configuration configuration = getResources().getConfiguration();
        display = new Display(getResources().getDisplayMetrics().density, configuration.fontScale);
        int night = configuration.uiMode & Configuration.UI_MODE_NIGHT_MASK;
        theme = night == Configuration.UI_MODE_NIGHT_YES ? Theme.dark() : Theme.light();
        setFocusable(true);
    }

    void show(ChartModel shown) {
        model = shown;
        setContentDescription(model.describe());
        invalidate();
    }

    @Override
    protected void onMeasure(int width, int height) {
        // With larger letters the same lines need more room.
        float wanted = (display.dp(HEIGHT) + display.sp(HEIGHT)) / 2;
        setMeasuredDimension(
                getDefaultSize(getSuggestedMinimumWidth(), width), resolveSize(Math.round(wanted), height));
    }

    @Override
    protected void onDraw(Canvas canvas) {
        TrainingPanel.draw(surface.on(canvas), model, theme, getWidth(), getHeight(), display);
    }
}
